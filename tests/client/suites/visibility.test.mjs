// `record.visibility: stored`: nobody sees what a crash takes back. A burst of writes that nobody waits for, subscribers and
// readers; kill -9 in the middle of it; whatever any of them saw is there afterwards.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, VISIBILITY, serverFor } from '../helpers/server.mjs'
import { until, within } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

const skip = REFERENCE
const ROUNDS = 6
const NAMES = Array.from({ length: 12 }, (_, number) => `burst/${number}`)
const FILLER = 'x'.repeat(4000)

// `accepted` shows that the test can fail.
const stored = { extra: { record: { visibility: VISIBILITY ?? 'stored' } } }

/** What was seen of each record: the highest number. */
class Seen {
  constructor () {
    this.numbers = new Map()
    this.count = 0
  }

  note (name, number) {
    if (number === undefined) return
    this.count += 1
    this.numbers.set(name, Math.max(number, this.numbers.get(name) ?? 0))
  }
}

/** Writes and writes, and waits for nobody. */
function burst (raw, names, last) {
  const write = () => {
    for (const name of names) {
      last.set(name, last.get(name) + 1)
      raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify({ n: last.get(name), filler: FILLER }) })
    }
  }
  const timer = setInterval(write, 1)
  return () => clearInterval(timer)
}

/** Reads one record after the other, each once the last is there. */
function reading (raw, seen) {
  let at = 0
  const next = () => raw.record(RECORD.READ, { name: NAMES[++at % NAMES.length] })
  raw.socket.on('message', () => {
    for (const message of raw.received.splice(0)) {
      if (message.action === RECORD.READ_RESPONSE) seen.note(message.name, JSON.parse(message.data).n)
      if (raw.socket.readyState === raw.socket.OPEN) next()
    }
  })
  next()
}

async function numberOf (raw, name) {
  raw.record(RECORD.READ, { name })
  const answer = await raw.next({ name })
  return answer.action === RECORD.READ_RESPONSE ? JSON.parse(answer.data).n : 0
}

describe('what is seen only once it is stored', { skip }, () => {
  test('is there after kill -9, whoever saw it', async (t) => {
    const server = await serverFor(t, stored)
    const last = new Map(NAMES.map((name) => [name, 0]))
    for (let round = 0; round < ROUNDS; round++) {
      const seen = new Seen()
      const subscribers = await Promise.all([0, 1, 2].map(() => loggedIn(t, server)))
      for (const client of subscribers) {
        client.mayFail = true
        for (const name of NAMES) (await ready(client, name)).subscribe((data) => seen.note(name, data.n))
      }
      const readers = await Promise.all([0, 1, 2].map(() => Raw.login(undefined, server)))
      readers.forEach((raw) => reading(raw, seen))
      const writers = await Promise.all([0, 1].map(() => Raw.login(undefined, server)))
      const ends = writers.map((raw, index) => burst(raw, NAMES.filter((_, place) => place % 2 === index), last))
      const enough = 300 + Math.random() * 300
      await until('much was seen', () => seen.count > enough)
      await server.end('SIGKILL')
      ends.forEach((end) => end())
      // What had left the server before it died may still come.
      await until('everybody noticed', () => subscribers.every((client) => client.getConnectionState() !== 'OPEN'))
      subscribers.forEach((client) => client.close())
      const numbers = new Map(seen.numbers)
      await server.launch()
      const reader = await Raw.login(t, server)
      for (const [name, number] of numbers) {
        const found = await numberOf(reader, name)
        assert.ok(found >= number, `round ${round}: ${number} of ${name} was seen, and ${found} is there`)
        assert.ok(found <= last.get(name), `${name}: ${found} is there, and ${last.get(name)} was written`)
      }
      reader.terminate()
    }
  })

  test('comes in order, and before the acknowledgement of who waits for it', async (t) => {
    const server = await serverFor(t, stored)
    const [writer, watcher] = [await loggedIn(t, server), await loggedIn(t, server)]
    const record = await ready(writer, 'orderly')
    const told = []
    ;(await ready(watcher, 'orderly')).subscribe('n', (n) => told.push(n))
    let acknowledged
    for (let n = 1; n <= 200; n++) acknowledged = record.setWithAck('n', n)
    await within('the last acknowledgement', acknowledged)
    await until('everything was told', () => told.at(-1) === 200)
    assert.deepEqual(told.filter(Boolean), Array.from({ length: 200 }, (_, index) => index + 1))
    const raw = await Raw.login(t, server)
    raw.record(RECORD.HEAD, { name: 'orderly' })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, version: 200 })
  })
})
