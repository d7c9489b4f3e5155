// Permission rules that change every second under load: no message is judged by some of the old and some of the new ones,
// and a subscription that ended hears nothing more.
//
// DEEPSTREAM_RELOAD_CLIENTS=1000  DEEPSTREAM_RELOAD_SECONDS=60

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Raw } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { atEnd, until } from '../helpers/until.mjs'
import { EVENT, TOPIC } from '../helpers/wire.mjs'

const CLIENTS = Number(process.env.DEEPSTREAM_RELOAD_CLIENTS ?? 100)
const SECONDS = Number(process.env.DEEPSTREAM_RELOAD_SECONDS ?? 5)

/** Half of the names are allowed, the other half with the next rules. */
const rules = (allowed) => ({
  record: { '*': {} },
  event: { '*': { publish: true }, 'even/*': { subscribe: allowed === 'even' }, 'odd/*': { subscribe: `${allowed === 'odd'} && user.id !== ''` } },
  rpc: { '*': {} },
  presence: { '*': {} }
})

/** One client: subscribes to one name of each half, again and again, and keeps account of what it may hear. */
class Client {
  constructor (raw, number) {
    Object.assign(this, { raw, number, names: [`even/${number}`, `odd/${number}`], round: 0, open: new Set(), heard: 0, ended: 0, faults: [] })
  }

  begin () {
    this.round += 1
    this.denied = []
    this.raw.event(EVENT.SUBSCRIBE, { names: this.names, correlationId: `s${this.round}` })
  }

  /** Every message the server sends, in order. */
  hear (message) {
    const { action, name, correlationId, isAck } = message
    if (action === EVENT.EMIT) {
      this.heard += 1
      if (!this.open.has(name)) this.faults.push(`${name} is heard without a subscription`)
    } else if (action === EVENT.MESSAGE_DENIED && correlationId) {
      if (correlationId !== `s${this.round}`) this.faults.push(`${correlationId}: one more name was denied, late`)
      this.denied.push(name)
    } else if (action === EVENT.MESSAGE_DENIED) {
      this.ended += 1
      this.open.delete(name)
    } else if (isAck && correlationId === `s${this.round}`) {
      this.acked = true
    } else if (isAck && action === EVENT.UNSUBSCRIBE) {
      if (this.denied.length !== 1) this.faults.push(`s${this.round}: one more name was denied`)
      this.open.clear()
      this.begin()
    }
    if (this.acked && this.denied.length > 0) {
      this.acked = false
      this.finish()
    }
  }

  finish () {
    if (this.denied.length !== 1) this.faults.push(`s${this.round}: ${this.denied.length} names were denied`)
    if (this.stopped) return
    this.raw.event(EVENT.UNSUBSCRIBE, { names: this.names, correlationId: `u${this.round}` })
  }
}

test(`${CLIENTS} clients, rules that change every second for ${SECONDS} s`, async (t) => {
  const server = await Server.prepare({ logLevel: 2, extra: { permission: { type: 'config', options: { permissions: 'fileLoad(permissions.yml)' } } } })
  const file = path.join(server.directory, 'permissions.yml')
  writeFileSync(file, JSON.stringify(rules('even')))
  atEnd(t, () => server.discard())
  await server.launch()
  const clients = []
  for (let number = 0; number < CLIENTS; number++) {
    const client = new Client(await Raw.login(t, server, { username: `u${number}` }), number)
    // A subscription may be heard from the moment it was asked for; of the two names one at most is allowed at a time.
    client.raw.received.push = (...messages) => {
      for (const message of messages) if (message.topic === TOPIC.EVENT) client.hear(message)
      return 0
    }
    const begin = client.begin.bind(client)
    client.begin = () => { client.names.forEach((name) => client.open.add(name)); begin() }
    clients.push(client)
  }
  const publisher = await Raw.login(t, server, { username: 'publisher' })
  clients.forEach((client) => client.begin())
  const started = Date.now()
  let allowed = 'even'
  let flips = 0
  while (Date.now() - started < SECONDS * 1000) {
    allowed = allowed === 'even' ? 'odd' : 'even'
    writeFileSync(file, JSON.stringify(rules(allowed)))
    server.child.kill('SIGHUP')
    flips += 1
    const next = started + flips * 1000
    while (Date.now() < next) {
      for (let some = 0; some < 20; some++) {
        const client = clients[Math.floor(Math.random() * CLIENTS)]
        for (const name of client.names) publisher.event(EVENT.EMIT, { name, data: '1' })
      }
      await publisher.untilPong()
    }
  }
  clients.forEach((client) => { client.stopped = true })
  const sum = (field) => clients.reduce((total, client) => total + client[field], 0)
  await until('every client made rounds', () => clients.every((client) => client.round > 1))
  assert.deepEqual(clients.flatMap((client) => client.faults).slice(0, 10), [])
  assert.ok(sum('heard') > 0 && sum('ended') > 0, `${sum('heard')} heard, ${sum('ended')} ended`)
  t.diagnostic(`${flips} changes of rules, ${sum('round')} bulk subscriptions, ${sum('ended')} ended by new rules, ${sum('heard')} events heard`)
})
