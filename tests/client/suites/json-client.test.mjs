// The official client in its JSON mode, together with itself in its usual one and with the client of the text protocol.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { calls, isLost, isOpen, loggedIn, ready, readyList } from '../helpers/clients.mjs'
import { PATH } from '../helpers/json.mjs'
import { oldLoggedIn, oldReady } from '../helpers/old-clients.mjs'
import { REFERENCE, Server, serverFor } from '../helpers/server.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { until, unique, within } from '../helpers/until.mjs'

const skip = REFERENCE
const KINDS = [null, true, false, 0, -1.5, 1e300, '', 'text', 'ünïcödé 🚀 \u2028', 'a\tb "c"', [], [1, [2]], {}, { a: { b: null } }]
const JSON_MODE = { path: PATH, socketOptions: { jsonTransportMode: true } }
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const jsonClient = (t, from = server, login = {}) => loggedIn(t, from, JSON_MODE, login)
const every = async (t, from = server) => [await jsonClient(t, from), await loggedIn(t, from), await oldLoggedIn(t, from)]
const same = (what, seen, expected) => until(`${what} is ${JSON.stringify(expected)}`, () => JSON.stringify(seen()) === JSON.stringify(expected))

describe('the official client in JSON mode', { skip }, () => {
  test('records of all three clients are one', async (t) => {
    const [json, young, old] = await every(t)
    const name = unique('one')
    const records = [await ready(json, name), await ready(young, name), await oldReady(old, name)]
    let version = 0
    for (const writer of records) {
      for (const [index, value] of KINDS.entries()) writer.set(`v.k${index}`, { value, version })
      version += KINDS.length
      for (const record of records) await until('all is seen', () => record.version === version)
      const expected = Object.fromEntries(KINDS.map((value, index) => [`k${index}`, { value, version: version - KINDS.length }]))
      for (const record of records) assert.deepEqual(record.get('v'), expected)
    }
    await within('the acknowledgement', records[0].setWithAck({ a: { b: 1, c: 2 } }))
    records[0].erase('a.b')
    for (const record of records) await same('the record', () => record.get(), { a: { c: 2 } })
    await within('the acknowledgement', records[1].setWithAck('a.d', [1]))
    await same('the JSON record', () => records[0].get(), { a: { c: 2, d: [1] } })
    assert.deepEqual(await within('the snapshot', json.record.snapshot(name)), { a: { c: 2, d: [1] } })
    assert.deepEqual(await within('the head', json.record.head(name)), records[0].version)
    assert.equal(await within('has', json.record.has(unique('missing'))), false)
    const gone = records.slice(1).map((record) => new Promise((resolve) => record.on('delete', resolve)))
    await within('the deletion', records[0].delete())
    await within('the delete events', Promise.all(gone))
  })

  test('events, lists and calls', async (t) => {
    const [json, young, old] = await every(t)
    const name = unique('all')
    const heard = [[], [], []]
    for (const [index, client] of [json, young, old].entries()) client.event.subscribe(name, (data) => heard[index].push(data))
    await until('all are subscribed', () => {
      young.event.emit(name, 'probe')
      return heard.every((seen) => seen.length > 0)
    }, { every: 10 })
    const settled = () => heard.forEach((seen) => { while (seen[0] === 'probe') seen.shift() })
    for (const client of [json, young, old]) {
      for (const kind of [...KINDS, undefined, 'end']) client.event.emit(name, kind)
      await until('all have all', () => heard.every((seen, index) => seen.includes('end') || client === [json, young, old][index]))
      settled()
      for (const seen of heard) if (seen.length > 0) assert.deepEqual(seen.splice(0).filter((data) => data !== 'probe'), [...KINDS, undefined, 'end'])
    }
    const [mine, theirs] = [await readyList(json, unique('list')), undefined]
    mine.setEntries(['a', 'b'])
    const list = await readyList(young, mine.name)
    await same('the list', () => list.getEntries(), ['a', 'b'])
    assert.equal(theirs, undefined)
    json.rpc.provide(`${name}/json`, (data, response) => data === 'fail' ? response.error('failed') : response.send(data))
    young.rpc.provide(`${name}/young`, (data, response) => data === 'fail' ? response.error('failed') : response.send(data))
    await until('both are provided', async () => (await Promise.all([young.rpc.make(`${name}/json`, 1), json.rpc.make(`${name}/young`, 1)].map((answer) => answer.catch(() => 0)))).every((answer) => answer === 1), { every: 10 })
    for (const kind of KINDS) {
      assert.deepEqual(await within('the answer', young.rpc.make(`${name}/json`, kind)), kind)
      assert.deepEqual(await within('the answer', json.rpc.make(`${name}/young`, kind)), kind)
    }
    assert.equal(await within('the answer', json.rpc.make(`${name}/young`, 'fail').catch((error) => error)), 'failed')
    assert.equal(await within('the answer', young.rpc.make(`${name}/json`, 'fail').catch((error) => error)), 'failed')
  })

  test('presence and listening', async (t) => {
    const own = await serverFor(t)
    const json = await jsonClient(t, own, { username: 'json' })
    const seen = calls()
    json.presence.subscribe(seen)
    // Another connection's login may overtake it; this answer cannot.
    await within('who is there', json.presence.getAll())
    const found = calls()
    const prefix = unique('wanted')
    json.record.listen(`^${prefix}/.*`, (name, response) => { found(name); response.accept() })
    const guest = await loggedIn(t, own, {}, { username: 'guest' })
    await until('it is seen', () => seen.seen.some(([user, on]) => user === 'guest' && on))
    const record = await ready(guest, `${prefix}/a`)
    await until('it is found', () => found.seen.flat().includes(`${prefix}/a`))
    await until('it has a provider', () => record.hasProvider)
    assert.deepEqual(await within('the answer', json.presence.getAll(['guest', 'nobody'])), { guest: true, nobody: false })
    guest.close()
    await until('it is gone', () => seen.seen.some(([user, on]) => user === 'guest' && !on))
  })

  test('reconnects and goes on', async (t) => {
    const proxy = await Proxy.start(t, server)
    const json = await jsonClient(t, proxy)
    const young = await loggedIn(t, server)
    const name = unique('again')
    const [mine, theirs] = [await ready(json, name), await ready(young, name)]
    await mine.setWithAck('n', 1)
    proxy.lock()
    await isLost(json)
    theirs.set('m', 2)
    proxy.unlock()
    await isOpen(json)
    await same('the record', () => mine.get(), { n: 1, m: 2 })
  })
})
