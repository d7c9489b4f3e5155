// Clients that read slowly but steadily get everything that they asked for, however much it is. Clients that only read
// a byte now and then to seem alive are closed.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { connect, messages, said, UPGRADE } from '../helpers/tcp.mjs'
import { atEnd, unique, until } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, RECORD, TOPIC, encode } from '../helpers/wire.mjs'

const MB = 1 << 20
/** What a slow reader takes at a time. */
const SIP = 64 << 10

/** Writes so many records of a size; answers their names. */
async function records (t, server, count, bytes) {
  const raw = await Raw.login(t, server)
  const data = JSON.stringify({ text: 'x'.repeat(bytes) })
  const names = Array.from({ length: count }, () => unique('large'))
  for (const name of names) {
    raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data, isWriteAck: true, correlationId: name })
    assertFields(await raw.next({ correlationId: name }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
  }
  return { raw, names }
}

/** A client that is logged in and takes what it is told only by sips. */
async function sipper (t, server) {
  const socket = await connect(server, { highWaterMark: SIP })
  atEnd(t, () => socket.destroy())
  socket.told = []
  const each = messages((message) => socket.told.push(message))
  socket.on('data', each)
  socket.write(UPGRADE)
  socket.write(said(encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'ws://x', protocolVersion: '0.1a', sdkVersion: '7.1.0', sdkType: 'javascript' })))
  socket.write(said(encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' })))
  await until('it is logged in', () => socket.told.some((message) => message.topic === TOPIC.AUTH))
  socket.forget()
  socket.told.length = 0
  /** Nothing is taken until there is a sip; a sip is over when something came. */
  socket.on('data', () => socket.sipping && socket.pause())
  socket.sip = async () => {
    const before = socket.heardBytes
    socket.resume()
    await until('more comes', () => socket.destroyed || socket.heardBytes > before, { every: 0 })
  }
  return socket
}

const answers = (socket) => socket.told.filter((message) => message.action === RECORD.READ_RESPONSE).length

describe('who reads slowly', () => {
  for (const [what, ask] of [
    ['one bulk subscription', (socket, names) => socket.write(said(encode(TOPIC.RECORD, { action: RECORD.SUBSCRIBECREATEANDREAD, names, correlationId: '1' })))],
    ['readings one after the other', (socket, names) => socket.write(Buffer.concat(names.map((name) => said(encode(TOPIC.RECORD, { action: RECORD.READ, name })))))]
  ]) {
    test(`is answered all of ${what}, as there is room`, async (t) => {
      const server = await serverFor(t, { endpoint: { maxMessageSize: 4 * MB }, limits: { outboxBytesMax: 6 * MB, outboxHighWaterBytes: MB } })
      const { raw, names } = await records(t, server, 40, MB)
      const socket = await sipper(t, server)
      socket.sipping = true
      socket.pause()
      ask(socket, names)
      // Before it takes anything the server holds no more for it than its high-water mark, a frame aside.
      const held = await until('its outbox is filled', async () => {
        const census = await server.census()
        return census.outbox_bytes > MB / 2 && census
      })
      assert.ok(held.outbox_bytes <= 3 * MB, `${held.outbox_bytes} bytes wait`)
      while (answers(socket) < names.length) {
        await socket.sip()
        assert.ok(!socket.destroyed, `closed after ${answers(socket)} of ${names.length} answers\n${server.describe()}`)
      }
      const told = new Set(socket.told.filter((message) => message.action === RECORD.READ_RESPONSE).map((message) => message.name))
      assert.equal(told.size, names.length)

      // Afterwards it is served like any other client.
      socket.sipping = false
      socket.resume()
      socket.write(said(encode(TOPIC.RECORD, { action: RECORD.SUBSCRIBEANDHEAD, names: [names[0]], correlationId: '2' })))
      await until('it is heard', () => socket.told.some((message) => message.correlationId === '2'))
      raw.record(RECORD.UPDATE, { name: names[0], version: 2, data: '{"n":1}' })
      await until('it is told of changes', () => socket.told.some((message) => message.action === RECORD.UPDATE))
    })
  }

  test('is answered a record larger than its outbox may be', async (t) => {
    const server = await serverFor(t, { endpoint: { maxMessageSize: 4 * MB }, limits: { outboxBytesMax: MB, outboxHighWaterBytes: MB / 2 } })
    const { names } = await records(t, server, 2, 3 * MB)
    const socket = await sipper(t, server)
    socket.sipping = true
    socket.pause()
    socket.write(said(encode(TOPIC.RECORD, { action: RECORD.SUBSCRIBEANDREAD, names, correlationId: '1' })))
    while (answers(socket) < names.length) {
      await socket.sip()
      assert.ok(!socket.destroyed, `closed after ${answers(socket)} answers\n${server.describe()}`)
    }
  })

  test('what others say beyond its outbox still ends it, with the reason in the log', async (t) => {
    const server = await serverFor(t, { endpoint: { maxMessageSize: 4 * MB }, limits: { outboxBytesMax: 2 * MB, outboxHighWaterBytes: MB } })
    const socket = await sipper(t, server)
    const name = unique('event')
    socket.write(said(encode(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [name], correlationId: '1' })))
    await until('it is subscribed', () => socket.told.length > 0)
    socket.sipping = true
    socket.pause()
    const raw = await Raw.login(t, server)
    const data = JSON.stringify('x'.repeat(MB))
    await until('it is closed', async () => {
      raw.event(EVENT.EMIT, { name, data })
      await raw.untilPong()
      return server.log.includes('slow consumer')
    })
    await until('the log says so', () => /slow consumer was closed: limits\.outboxBytesMax is reached/.test(server.log))
  })
})
