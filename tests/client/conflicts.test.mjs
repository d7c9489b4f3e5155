// Versions that collide: what the loser is told, and how the official client's merges converge.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready, untilData } from './clients.mjs'
import { Proxy } from './proxy.mjs'
import { Raw, assertFields } from './raw.mjs'
import { REFERENCE, Server } from './server.mjs'
import { until, unique, within } from './until.mjs'
import { RECORD, TOPIC } from './wire.mjs'

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

  test('a version from the future is INVALID_VERSION with the request and the current version', async (t) => {
    const name = unique('gap')
    const raw = await subscriber(t, name)
    raw.record(RECORD.PATCH, { name, version: 5, path: 'a', data: '1', isWriteAck: true, correlationId: '1' })
    const answer = await raw.take()
    assertFields(answer, { topic: TOPIC.RECORD, action: RECORD.INVALID_VERSION, name, version: 0, path: 'a', data: '1', isWriteAck: true, correlationId: '1', originalAction: RECORD.PATCH })
    if (!REFERENCE) assert.equal(answer.isError, true)
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
