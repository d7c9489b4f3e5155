// Versions that collide: what the loser is told, and how the official client's merges converge.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready, untilData, user } from '../helpers/clients.mjs'
import { Json, PATH } from '../helpers/json.mjs'
import { Proxy } from '../helpers/proxy.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { until, unique, within } from '../helpers/until.mjs'
import { RECORD, TOPIC } from '../helpers/wire.mjs'

const better = REFERENCE ? test.skip : test
let server
before(async () => { server = await Server.start() })
after(() => server.discard())

const REMOTE_WINS = (local, localVersion, remote, remoteVersion, done) => done(null, remote)
const LOCAL_WINS = (local, localVersion, remote, remoteVersion, done) => done(null, local)

async function subscriber (t, name) {
  const raw = await Raw.login(t, server)
  raw.record(RECORD.SUBSCRIBECREATEANDREAD, { names: [name], correlationId: '0' })
  const answers = [await raw.take(), await raw.take()]
  assert.ok(answers.some((answer) => answer.action === RECORD.READ_RESPONSE))
  return raw
}

describe('on the wire', () => {
  test('the loser gets the broadcast of the winner first, then VERSION_EXISTS with the data', async (t) => {
    const name = unique('loser')
    const [winner, loser] = [await subscriber(t, name), await subscriber(t, name)]
    winner.record(RECORD.UPDATE, { name, version: 1, data: '{"by":"winner"}', isWriteAck: true, correlationId: '1' })
    await winner.next({ action: RECORD.WRITE_ACKNOWLEDGEMENT })
    loser.record(RECORD.UPDATE, { name, version: 1, data: '{"by":"loser"}', isWriteAck: true, correlationId: '2' })
    assertFields(await loser.take(), { action: RECORD.UPDATE, name, version: 1, data: '{"by":"winner"}' })
    const refusal = await loser.take()
    assertFields(refusal, { action: RECORD.VERSION_EXISTS, name, version: 1, isWriteAck: true, correlationId: '2', originalAction: RECORD.UPDATE })
    assert.deepEqual(JSON.parse(refusal.data), { by: 'winner' })
    assert.ok(!refusal.isError, 'the client merges only what is not an error')
  })

  test('two at once: one wins, the other sees the broadcast before its refusal', async (t) => {
    for (let round = 0; round < 30; round++) {
      const name = unique('race')
      const both = [await subscriber(t, name), await subscriber(t, name)]
      both.forEach((raw, index) => raw.record(RECORD.UPDATE, { name, version: 1, data: `{"by":${index}}`, isWriteAck: true, correlationId: 'c' }))
      const answers = await Promise.all(both.map((raw) => raw.next({ correlationId: 'c' })))
      const lost = answers.findIndex((answer) => answer.action === RECORD.VERSION_EXISTS)
      assert.ok(lost >= 0 && answers[1 - lost].action === RECORD.WRITE_ACKNOWLEDGEMENT, JSON.stringify(answers))
      assert.deepEqual(both[lost].passed.map((message) => [message.action, message.version, message.data]), [[RECORD.UPDATE, 1, `{"by":${1 - lost}}`]])
      assert.deepEqual(both[1 - lost].passed, [])
      both.forEach((raw) => raw.terminate())
    }
  })

  test('three writes of one version in a row: the first is taken, two are refused', async (t) => {
    const name = unique('three')
    const raw = await subscriber(t, name)
    for (const index of [1, 2, 3]) raw.record(RECORD.UPDATE, { name, version: 1, data: `{"n":${index}}`, isWriteAck: true, correlationId: String(index) })
    const answers = [await raw.take(), await raw.take(), await raw.take()]
    const by = (correlationId) => answers.find((answer) => answer.correlationId === correlationId).action
    assert.deepEqual([by('1'), by('2'), by('3')], [RECORD.WRITE_ACKNOWLEDGEMENT, RECORD.VERSION_EXISTS, RECORD.VERSION_EXISTS])
  })

  better('a version from the future is VERSION_EXISTS with the document, as one that was taken', async (t) => {
    const name = unique('gap')
    const raw = await subscriber(t, name)
    for (const version of [2, 5, 2147483647]) {
      raw.record(RECORD.PATCH, { name, version, path: 'a', data: '1' })
      assert.deepEqual(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.VERSION_EXISTS, name, version: 0, data: '{}', originalAction: RECORD.PATCH })
    }
  })

  better('whoever waits for its acknowledgement is told so first, and then that there will be none', async (t) => {
    const name = unique('gap')
    const raw = await subscriber(t, name)
    raw.record(RECORD.UPDATE, { name, version: 1, data: '{"by":"me"}' })
    raw.record(RECORD.PATCH, { name, version: 5, path: 'a', data: '1', isWriteAck: true, correlationId: '1' })
    assert.deepEqual(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.VERSION_EXISTS, name, version: 1, data: '{"by":"me"}', correlationId: '1', originalAction: RECORD.PATCH })
    assert.deepEqual(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.INVALID_VERSION, name, version: 1, isWriteAck: true, isError: true, correlationId: '1', originalAction: RECORD.PATCH })
  })

  test('versions 0 and below -1 are VERSION_EXISTS', async (t) => {
    const name = unique('low')
    const raw = await subscriber(t, name)
    for (const version of [0, -2, -2147483648]) {
      raw.record(RECORD.UPDATE, { name, version, data: '{"a":1}' })
      assertFields(await raw.take(), { action: RECORD.VERSION_EXISTS, name, version: 0, data: '{}' })
    }
  })

  test('a refusal of a write without ack carries no correlation id', async (t) => {
    const name = unique('plain')
    const raw = await subscriber(t, name)
    raw.record(RECORD.UPDATE, { name, version: 0, data: '{"a":1}' })
    assertFields(await raw.take(), { action: RECORD.VERSION_EXISTS, correlationId: undefined })
  })
})

/**
 * A client counts on from a write that was denied. Whatever it writes then has a version too high, until the server tells
 * it which there is: of an answer other than VERSION_EXISTS no client takes it.
 */
describe('after a write that was denied', { skip: REFERENCE }, () => {
  const sections = {
    record: { '*': { create: true, read: true, write: true, delete: true, listen: true, notify: true }, 'once/*': { write: 'data.denied !== true' }, 'dropbox/*': { write: 'data.denied !== true', read: "user.id === 'boss'" } },
    event: { '*': { publish: true, subscribe: true, listen: true } },
    rpc: { '*': { provide: true, request: true } },
    presence: { '*': { allow: true } }
  }
  let strict
  before(async () => { strict = await Server.start({ extra: { permission: { type: 'config', options: { permissions: sections } } } }) })
  after(() => strict?.discard())

  const denials = { whole: (record) => record.set({ denied: true }), path: (record) => record.set('denied', true) }
  const write = (record, kind, value, acked) => {
    const parts = kind === 'whole' ? [{ n: value }] : ['n', value]
    return acked ? within('the acknowledgement', record.setWithAck(...parts)) : record.set(...parts)
  }
  const JSON_MODE = { path: PATH, socketOptions: { jsonTransportMode: true } }
  for (const [wire, mode] of [['protobuf', {}], ['JSON', JSON_MODE]]) {
    for (const [strategy, mergeStrategy] of Object.entries({ REMOTE_WINS, LOCAL_WINS })) {
      for (const kind of ['whole', 'path']) {
        for (const acked of [false, true]) {
          test(`${wire}, ${strategy}, ${acked ? 'acknowledged' : 'plain'} writes, ${kind}: all that follow one that conflicted arrive`, async (t) => {
            const name = unique('once/r')
            const client = await loggedIn(t, strict, { ...mode, mergeStrategy })
            const observer = await Raw.login(t, strict)
            const record = await ready(client, name)
            observer.record(RECORD.SUBSCRIBECREATEANDREAD, { names: [name], correlationId: '0' })
            await observer.next({ action: RECORD.READ_RESPONSE })
            record.set('n', 0)
            assertFields(await observer.next({ action: RECORD.PATCH }), { version: 1 })
            const denied = new Promise((resolve) => record.on('error', resolve))
            denials[kind](record)
            assert.equal(await within('the denial', denied), 'MESSAGE_DENIED')
            assert.equal(record.version, 2, 'the client counts what was denied')
            // It tells of the version, and is not written: outside of a merge the client makes none of it.
            if (acked) await assert.rejects(write(record, kind, 1, true), /INVALID_VERSION/)
            else write(record, kind, 1, false)
            await until('the client knows the version', () => record.version === 1)
            for (const value of [2, 3, 4]) {
              await write(record, kind, value, acked)
              const seen = await observer.take()
              assertFields(seen, { name, version: value })
              assert.deepEqual(JSON.parse(seen.data), kind === 'whole' ? { n: value } : value)
              assert.equal(record.version, value)
            }
            const stored = await within('the snapshot', (await loggedIn(t, strict)).record.snapshot(name))
            assert.deepEqual(stored, { n: 4 })
          })
        }
      }
    }
  }

  test('writes without pause: the client ends with what the server has', async (t) => {
    const name = unique('once/r')
    const client = await loggedIn(t, strict, { mergeStrategy: REMOTE_WINS })
    const record = await ready(client, name)
    record.on('error', () => {})
    record.set({ denied: true })
    for (let value = 1; value <= 20; value++) record.set({ n: value })
    await until('the client knows the version', () => record.version === 0)
    // This question goes to every shard, behind the writes: its answer comes behind the refusals.
    await within('the last refusals', client.presence.getAll())
    await within('the acknowledgement', record.setWithAck({ n: 21 }))
    await within('the acknowledgement', record.setWithAck({ n: 22 }))
    assert.deepEqual(await within('the snapshot', (await loggedIn(t, strict)).record.snapshot(name)), { n: 22 })
    assert.equal(record.version, 2)
  })

  test('sixty writes under way onto a large record: each is answered as its writer reads, who is not closed for it', async (t) => {
    const writer = await loggedIn(t, strict)
    const text = 'x'.repeat(500_000)
    // Some on each shard.
    for (const name of Array.from({ length: 4 }, () => unique('once/large'))) {
      await within('the record', writer.record.setDataWithAck(name, { text }))
      const raw = await Raw.login(t, strict)
      const ids = Array.from({ length: 60 }, (_, index) => `c${index}`)
      raw.socket.pause()
      for (const correlationId of ids) raw.record(RECORD.PATCH, { name, version: 9, path: 'n', data: '1', isWriteAck: true, correlationId })
      // Asked of every shard: time enough for all of them to have answered, if they did.
      for (let round = 0; round < 10; round++) await within('an answer', writer.presence.getAll())
      raw.socket.resume()
      for (const correlationId of ids) {
        const conflict = await raw.take()
        assertFields({ ...conflict, data: conflict.data?.length }, { action: RECORD.VERSION_EXISTS, version: 1, correlationId, data: text.length + 11 })
        assertFields(await raw.take(), { action: RECORD.INVALID_VERSION, version: 1, correlationId, isWriteAck: true })
      }
    }
  })

  test('whoever may not read goes on without the document, on every wire', async (t) => {
    const name = unique('dropbox/r')
    const boss = await user(t, strict, 'boss')
    await within('the secret', boss.record.setDataWithAck(name, { denied: false, secret: 'of the house' }))
    const [raw, json] = [await Raw.login(t, strict), await Json.login(t, strict)]
    raw.record(RECORD.UPDATE, { name, version: 7, data: '{}', isWriteAck: true, correlationId: '1' })
    assertFields(await raw.take(), { action: RECORD.VERSION_EXISTS, version: 1, data: '{}', correlationId: '1' })
    assertFields(await raw.take(), { action: RECORD.INVALID_VERSION, version: 1, data: undefined, correlationId: '1', isWriteAck: true })
    json.say({ topic: TOPIC.RECORD, action: RECORD.UPDATE, name, version: 7, parsedData: { mine: 1 } })
    assertFields(await json.take(), { action: RECORD.VERSION_EXISTS, version: 1, parsedData: {} })
  })
})

/**
 * A client writes `local` over version 0 without knowing that `remote` has become version 1: what the
 * server says is held back until both writes are in.
 */
async function collide (t, options, name, remote, local) {
  const proxy = await Proxy.start(t, server)
  const client = await loggedIn(t, proxy, options)
  options.prepare?.(client, name)
  const record = await ready(client, name)
  const other = await subscriber(t, name)
  proxy.hold()
  other.record(RECORD.UPDATE, { name, version: 1, data: JSON.stringify(remote), isWriteAck: true, correlationId: '1' })
  await other.next({ action: RECORD.WRITE_ACKNOWLEDGEMENT })
  record.set(local)
  await until('the client is ahead of what it was told', () => record.version === 1)
  proxy.release()
  return { record, other }
}

describe('merge strategies of the official client', () => {
  test('REMOTE_WINS: the loser takes the value that was first', async (t) => {
    const name = unique('remote')
    const { record, other } = await collide(t, { mergeStrategy: REMOTE_WINS }, name, { by: 'remote' }, { by: 'local' })
    await untilData(record, { by: 'remote' })
    assert.equal(record.version, 1)
    record.set({ by: 'both' })
    assertFields(await other.take(), { action: RECORD.UPDATE, version: 2, data: '{"by":"both"}' })
  })

  test('LOCAL_WINS: the loser writes its value again and everybody gets it', async (t) => {
    const name = unique('local')
    const { record, other } = await collide(t, { mergeStrategy: LOCAL_WINS }, name, { by: 'remote' }, { by: 'local' })
    assertFields(await other.take(), { action: RECORD.UPDATE, version: 2, data: '{"by":"local"}' })
    assert.deepEqual(record.get(), { by: 'local' })
  })

  test('a custom strategy gets both values and versions, and its result is written', async (t) => {
    const name = unique('custom')
    const merges = []
    const mergeStrategy = (local, localVersion, remote, remoteVersion, done) => {
      merges.push({ local, localVersion, remote, remoteVersion })
      done(null, { ...remote, ...local })
    }
    const { record, other } = await collide(t, { mergeStrategy }, name, { theirs: 1 }, { mine: 2 })
    const merged = await other.take()
    assertFields(merged, { action: RECORD.UPDATE, version: 2 })
    assert.deepEqual(JSON.parse(merged.data), { theirs: 1, mine: 2 })
    assert.deepEqual(merges[0], { local: { mine: 2 }, localVersion: 1, remote: { theirs: 1 }, remoteVersion: 1 })
    assert.deepEqual(record.get(), { theirs: 1, mine: 2 })
  })

  for (const [what, prepare] of [
    ['one record', (client, name) => client.record.setMergeStrategy(name, (local, localVersion, remote, remoteVersion, done) => done(null, { chosen: true }))],
    ['a pattern', (client) => client.record.setMergeStrategyRegExp(/^chosen/, (local, localVersion, remote, remoteVersion, done) => done(null, { chosen: true }))]
  ]) {
    test(`a strategy for ${what} beats the global one`, async (t) => {
      const name = unique('chosen')
      const { record, other } = await collide(t, { mergeStrategy: REMOTE_WINS, prepare }, name, { a: 1 }, { a: 2 })
      assertFields(await other.take(), { action: RECORD.UPDATE, version: 2, data: '{"chosen":true}' })
      assert.deepEqual(record.get(), { chosen: true })
    })
  }

  test('a version gap is healed by a read', async (t) => {
    const name = unique('heal')
    const client = await loggedIn(t, server, { mergeStrategy: REMOTE_WINS })
    const record = await ready(client, name)
    client.pause()
    const raw = await Raw.login(t, server)
    for (let version = 1; version <= 5; version++) raw.record(RECORD.PATCH, { name, version, path: 'n', data: String(version) })
    raw.record(RECORD.READ, { name })
    await raw.next({ action: RECORD.READ_RESPONSE })
    await within('resume', client.resume())
    await untilData(record, { n: 5 })
    raw.record(RECORD.PATCH, { name, version: 6, path: 'n', data: '6' })
    await untilData(record, { n: 6 })
    assert.equal(record.version, 6)
  })

  for (const writers of [2, 10]) {
    test(`${writers} clients colliding again and again agree with each other and the server every time`, async (t) => {
      const clients = await Promise.all(Array.from({ length: writers }, () => loggedIn(t, server, { mergeStrategy: REMOTE_WINS })))
      const name = unique('writers')
      const records = await Promise.all(clients.map((client) => ready(client, name)))
      const observer = await loggedIn(t, server)
      for (let round = 1; round <= 30; round++) {
        records.forEach((record, index) => record.set({ by: index, round }))
        await until(`round ${round} has settled`, async () => {
          const truth = JSON.stringify(await observer.record.snapshot(name))
          return records.every((record) => record.version === round && JSON.stringify(record.get()) === truth)
        })
        assert.equal(await observer.record.head(name), round)
        // A refusal that comes after its client's next write takes that write's version back in the client, for good where
        // that write won. This question goes to every shard, behind the writes: its answer comes behind the refusals.
        await within('the last refusals', Promise.all(clients.map((client) => client.presence.getAll())))
      }
    })

    test(`${writers} force-writers of one record each end with their last value in it`, async (t) => {
      const writersRaw = await Promise.all(Array.from({ length: writers }, () => Raw.login(t, server)))
      const name = unique('forced')
      writersRaw.forEach((raw, index) => {
        for (let round = 1; round <= 50; round++) {
          raw.record(RECORD.CREATEANDPATCH, { name, version: -1, path: `w${index}`, data: String(round), isWriteAck: true, correlationId: String(round) })
        }
      })
      for (const raw of writersRaw) {
        for (let round = 1; round <= 50; round++) assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT, correlationId: String(round) })
      }
      writersRaw[0].record(RECORD.READ, { name })
      const answer = await writersRaw[0].take()
      assert.equal(answer.version, 50 * writers)
      assert.deepEqual(JSON.parse(answer.data), Object.fromEntries(writersRaw.map((_, index) => [`w${index}`, 50])))
    })
  }
})
