// Every bound a client can run into, with its key in the configuration.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, SHARDS, serverFor } from '../helpers/server.mjs'
import { atEnd, until, unique, within } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE

async function subscriber (t, server, name) {
  const raw = await Raw.login(t, server)
  raw.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '0' })
  assertFields(await raw.take(), { action: EVENT.SUBSCRIBE, isAck: true })
  return raw
}

describe('messages', { skip }, () => {
  test('maxMessageSize: one byte more closes with 1009', async (t) => {
    const server = await serverFor(t, { endpoint: { maxMessageSize: 1000 } })
    const raw = await Raw.login(t, server)
    raw.bytes(Buffer.alloc(1000, 0xff))
    assert.equal((await raw.take()).topic, TOPIC.PARSER)
    raw.bytes(Buffer.alloc(1001, 0xff))
    assert.equal((await within('the close', raw.closed)).code, 1009)
  })

  test('namesPerMessageMax: a longer bulk message is refused and nothing of it is done', async (t) => {
    const server = await serverFor(t, { limits: { namesPerMessageMax: 10 } })
    const raw = await Raw.login(t, server)
    const names = Array.from({ length: 11 }, () => unique('names'))
    for (const [topic, action, answer] of [[TOPIC.EVENT, EVENT.SUBSCRIBE, EVENT.INVALID_MESSAGE_DATA], [TOPIC.RECORD, RECORD.SUBSCRIBECREATEANDREAD, RECORD.INVALID_MESSAGE_DATA]]) {
      raw.send(topic, { action, names, correlationId: '1' })
      assertFields(await raw.take(), { topic, action: answer, originalAction: action, isError: true })
    }
    raw.record(RECORD.HEAD, { name: names[0] })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, version: -1 })
    raw.event(EVENT.SUBSCRIBE, { names: names.slice(1), correlationId: '2' })
    assertFields(await raw.take(), { action: EVENT.SUBSCRIBE, isAck: true, correlationId: '2' })
  })

  test('nameBytesMax: a longer name is refused', async (t) => {
    const server = await serverFor(t, { limits: { nameBytesMax: 20 } })
    const raw = await Raw.login(t, server)
    const [fits, long] = ['x'.repeat(20), 'ü'.repeat(10) + 'x']
    raw.record(RECORD.HEAD, { name: fits })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE })
    for (const action of [RECORD.HEAD, RECORD.CREATEANDUPDATE, RECORD.DELETE]) {
      raw.record(action, { name: long, version: -1, data: '{}' })
      assertFields(await raw.take(), { topic: TOPIC.RECORD, action: RECORD.INVALID_MESSAGE_DATA, originalAction: action, isError: true })
    }
    raw.event(EVENT.EMIT, { name: long, data: '1' })
    assertFields(await raw.take(), { topic: TOPIC.EVENT, action: EVENT.INVALID_MESSAGE_DATA, isError: true })
  })

  test('subscriptionsPerConnectionMax: one more is refused, the others stay', async (t) => {
    const server = await serverFor(t, { limits: { subscriptionsPerConnectionMax: 5 } })
    const [raw, other] = [await Raw.login(t, server), await Raw.login(t, server)]
    const names = Array.from({ length: 5 }, () => unique('subscription'))
    raw.event(EVENT.SUBSCRIBE, { names, correlationId: '1' })
    assertFields(await raw.take(), { isAck: true })
    const more = unique('more')
    raw.event(EVENT.SUBSCRIBE, { names: [more], correlationId: '2' })
    await raw.next({ topic: TOPIC.EVENT, action: EVENT.INVALID_MESSAGE_DATA, name: more })
    for (const name of [more, names[4]]) other.event(EVENT.EMIT, { name, data: '1' })
    assertFields(await raw.next({ action: EVENT.EMIT }), { name: names[4] })
    raw.event(EVENT.UNSUBSCRIBE, { names: [names[0]], correlationId: '3' })
    await raw.next({ action: EVENT.UNSUBSCRIBE, isAck: true })
    raw.event(EVENT.SUBSCRIBE, { names: [more], correlationId: '4' })
    assertFields(await raw.next({ correlationId: '4' }), { action: EVENT.SUBSCRIBE, isAck: true })
  })
})

describe('records', { skip }, () => {
  test('recordBytesMax: a larger value is refused, whole or grown by a patch', async (t) => {
    const server = await serverFor(t, { limits: { recordBytesMax: 1000 } })
    const raw = await Raw.login(t, server)
    const name = unique('large')
    const half = 'x'.repeat(600)
    raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify({ a: half }), isWriteAck: true, correlationId: '1' })
    assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    raw.record(RECORD.PATCH, { name, version: 2, path: 'b', data: JSON.stringify(half), isWriteAck: true, correlationId: '2' })
    assertFields(await raw.take(), { action: RECORD.INVALID_MESSAGE_DATA, isError: true, correlationId: '2' })
    raw.record(RECORD.UPDATE, { name, version: 2, data: JSON.stringify({ a: half + half }), isWriteAck: true, correlationId: '3' })
    assertFields(await raw.take(), { action: RECORD.INVALID_MESSAGE_DATA, isError: true, correlationId: '3' })
    raw.record(RECORD.HEAD, { name })
    assertFields(await raw.take(), { action: RECORD.HEAD_RESPONSE, version: 1 })
  })

  test('arrayIndexGapMax: an index further beyond the end is refused', async (t) => {
    const server = await serverFor(t, { limits: { arrayIndexGapMax: 5 } })
    const raw = await Raw.login(t, server)
    const name = unique('gap')
    raw.record(RECORD.CREATEANDPATCH, { name, version: -1, path: 'a[5]', data: '1', isWriteAck: true, correlationId: '1' })
    assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    raw.record(RECORD.PATCH, { name, version: 2, path: 'a[12]', data: '1', isWriteAck: true, correlationId: '2' })
    assertFields(await raw.take(), { action: RECORD.INVALID_MESSAGE_DATA, correlationId: '2' })
    raw.record(RECORD.PATCH, { name, version: 2, path: 'a[11]', data: '1', isWriteAck: true, correlationId: '3' })
    assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT, correlationId: '3' })
  })

  test('memoryBytesMax: cold values leave memory and come back from storage unchanged', async (t) => {
    const server = await serverFor(t, { extra: { record: { memoryBytesMax: 1 << 20 } } })
    const raw = await Raw.login(t, server)
    const names = Array.from({ length: 100 }, () => unique('cold'))
    const value = (index) => JSON.stringify({ index, text: String(index % 10).repeat(200_000) })
    for (const [index, name] of names.entries()) {
      raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: value(index), isWriteAck: true, correlationId: name })
      await raw.next({ action: RECORD.WRITE_ACKNOWLEDGEMENT, correlationId: name })
    }
    for (const [index, name] of names.entries()) {
      raw.record(RECORD.READ, { name })
      const answer = await raw.next({ name })
      assertFields(answer, { action: RECORD.READ_RESPONSE, version: 1 })
      assert.ok(answer.data === value(index), `value ${index} came back changed`)
    }
    raw.record(RECORD.PATCH, { name: names[0], version: 2, path: 'text', data: '"short"', isWriteAck: true, correlationId: 'p' })
    await raw.next({ action: RECORD.WRITE_ACKNOWLEDGEMENT, correlationId: 'p' })
    raw.record(RECORD.READ, { name: names[0] })
    assertFields(await raw.take(), { action: RECORD.READ_RESPONSE, version: 2, data: '{"index":0,"text":"short"}' })
  })
})

describe('connections', { skip }, () => {
  test('connectionsMax: more are closed, and room that becomes free is used', async (t) => {
    const server = await serverFor(t, { limits: { connectionsMax: 40 } })
    const most = Math.ceil(40 / SHARDS) * SHARDS
    const raws = []
    atEnd(t, () => raws.forEach((raw) => raw.terminate()))
    let refused = 0
    for (let index = 0; index < 200; index++) {
      try {
        raws.push(await Raw.login(undefined, server))
      } catch {
        refused += 1
      }
    }
    assert.ok(raws.length <= most, `${raws.length} connections were let in`)
    assert.equal(raws.length, most, 'every shard filled up')
    assert.equal(raws.length + refused, 200)
    for (const raw of raws) assert.deepEqual(await raw.untilPong(), [])
    raws.forEach((raw) => raw.terminate())
    await until('a newcomer gets in', async () => {
      try {
        raws.push(await Raw.login(undefined, server))
        return true
      } catch {
        return false
      }
    })
  })

  test('requestHeadBytesMax: a longer request head is not read to its end', async (t) => {
    const server = await serverFor(t, { limits: { requestHeadBytesMax: 2048 } })
    await assert.rejects(Raw.open(server, { headers: { 'X-Long': 'x'.repeat(4000) } }).then((raw) => raw.terminate()))
    const raw = await Raw.login(t, server, { headers: { 'X-Short': 'x'.repeat(400) } })
    assert.deepEqual(await raw.untilPong(), [])
  })
})

/** State of the server's side of a connection as the kernel sees it; undefined once it is gone. */
function serverSide (server, raw) {
  const port = (value) => value.toString(16).toUpperCase().padStart(4, '0')
  const line = readFileSync('/proc/net/tcp', 'utf8').split('\n').map((text) => text.trim().split(/\s+/))
    .find((parts) => parts[1]?.endsWith(`:${port(server.port)}`) && parts[2]?.endsWith(`:${port(raw.socket._socket.localPort)}`))
  return line?.[3]
}
const ESTABLISHED = '01'

describe('slow consumers', { skip }, () => {
  const chunk = JSON.stringify('x'.repeat(60_000))

  /** Emits in steps that the healthy subscriber confirms, until the condition holds. */
  async function emitUntil (publisher, healthy, name, condition) {
    for (let sent = 0; sent < 3000; sent += 4) {
      for (let index = 0; index < 4; index++) publisher.event(EVENT.EMIT, { name, data: chunk })
      for (let index = 0; index < 4; index++) assertFields(await healthy.take(), { action: EVENT.EMIT, name })
      if (condition()) return sent + 4
    }
    throw new Error('180 MB did not make the server close the slow consumer')
  }

  test('outboxBytesMax: who never reads is closed, the others get everything', async (t) => {
    const server = await serverFor(t, { limits: { outboxBytesMax: 1 << 20, outboxHighWaterBytes: 1 << 18 } })
    const name = unique('firehose')
    const [slow, healthy, publisher] = [await subscriber(t, server, name), await subscriber(t, server, name), await Raw.login(t, server)]
    slow.socket.pause()
    const sent = await emitUntil(publisher, healthy, name, () => serverSide(server, slow) !== ESTABLISHED)
    slow.socket.resume()
    await within('the close', slow.closed)
    assert.ok(slow.received.length < sent, 'the slow one did not get everything')
    publisher.event(EVENT.EMIT, { name, data: '"after"' })
    assertFields(await healthy.take(), { data: '"after"' })
    assert.equal(await server.health(), 200)
  })

  test('slowConsumerTimeoutMs: an outbox that does not move for that long closes its connection', async (t) => {
    const server = await serverFor(t, { limits: { outboxBytesMax: 1 << 28, outboxHighWaterBytes: 1 << 16, slowConsumerTimeoutMs: 300 } })
    const name = unique('stuck')
    const [slow, healthy, publisher] = [await subscriber(t, server, name), await subscriber(t, server, name), await Raw.login(t, server)]
    slow.socket.pause()
    await emitUntil(publisher, healthy, name, () => serverSide(server, slow) !== ESTABLISHED)
    publisher.event(EVENT.EMIT, { name, data: '"after"' })
    assertFields(await healthy.take(), { data: '"after"' })
  })

  test('a client that asks for much and reads nothing is no longer read, and nobody else waits', async (t) => {
    const server = await serverFor(t, { limits: { outboxBytesMax: 1 << 22, outboxHighWaterBytes: 1 << 16 } })
    const name = unique('greedy')
    const [greedy, other] = [await Raw.login(t, server), await Raw.login(t, server)]
    other.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify({ text: 'x'.repeat(50_000) }), isWriteAck: true, correlationId: '1' })
    await other.next({ correlationId: '1' })
    greedy.socket.pause()
    for (let index = 0; index < 4000; index++) greedy.record(RECORD.READ, { name })
    for (let index = 0; index < 50; index++) {
      other.record(RECORD.READ, { name })
      assertFields(await other.take(), { action: RECORD.READ_RESPONSE, name })
    }
    assert.ok(server.memory() < 200_000, `the server holds ${server.memory()} kB`)
    greedy.socket.resume()
    await until('it has everything or was closed', () => greedy.received.length === 4000 || greedy.ended, { deadline: 20000 })
    assert.equal(await server.health(), 200)
  })
})
