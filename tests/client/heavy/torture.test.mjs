// Everything bytes and sockets can do to a server, one after the other, on one server: garbage, a
// session cut at every byte, floods before login, subscribers that never read, thousands of connects
// and drops in a row. A pair of bystanders is served all along, and after each of it the server holds
// exactly what it held before. All of it happens three times: the first time fills the pools of buffers, and
// of the others one takes no memory. A leak takes it every time; what an allocator keeps varies.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { SHARDS, Server } from '../helpers/server.mjs'
import { UPGRADE, connect, frame, messages, said } from '../helpers/tcp.mjs'
import { until, unique, within } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, RECORD, RPC, TOPIC, encode, envelope } from '../helpers/wire.mjs'

const DROPS = Number(process.env.DEEPSTREAM_TORTURE_DROPS ?? 5000)
const AT_ONCE = 50
/** Of 60 kB: what is under way to a subscriber who reads stays far below what one may leave unread. */
const AT_ONCE_EVENTS = 8
/** Within this, whoever does not read is closed: told so, and dropped when that has not been sent within a second. */
const CLOSED_MS_MAX = 20000
const MEMORY_KB_MAX = 12 * 1024

let server
let bystanders
let empty
/** Before each time. */
const memory = []
let round = 0

before(async () => {
  server = await Server.start({
    logLevel: 'WARN',
    endpoint: { heartbeatInterval: 600_000 },
    limits: { outboxBytesMax: 1 << 20, outboxHighWaterBytes: 1 << 18, slowConsumerTimeoutMs: 1000 }
  })
  bystanders = [await Raw.login(undefined, server), await Raw.login(undefined, server)]
  bystanders[0].event(EVENT.SUBSCRIBE, { names: ['bystander'], correlationId: '0' })
  await bystanders[0].take()
})
after(async () => {
  bystanders?.forEach((raw) => raw.terminate())
  await server.discard()
})

async function serveBystanders () {
  round += 1
  bystanders[1].event(EVENT.EMIT, { name: 'bystander', data: String(round) })
  assertFields(await bystanders[0].take(), { action: EVENT.EMIT, data: String(round) })
}

/** The bystanders are still served, and nothing is held that was not before. */
async function untouched () {
  await serveBystanders()
  await server.atRest(empty)
}

/** Does `work` for 0 … count - 1, a few at once. */
async function each (count, work) {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

const from = (index) => ({ localAddress: `127.0.0.${2 + index % 200}` })
const gone = (socket) => within('the close', socket.gone, 20000)
const drop = (socket, index) => (index % 2 ? socket.resetAndDestroy() : socket.destroy())

const CHALLENGE = said(encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'x' }))
const LOGIN = said(encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: '{}' }))
const GREETING = Buffer.concat([UPGRADE, CHALLENGE, LOGIN])
const PING = encode(TOPIC.CONNECTION, { action: CONNECTION.PING })

function garbage (index) {
  switch (index % 6) {
    case 0: return randomBytes(1 + index * 7 % 3000)
    case 1: return Buffer.concat([UPGRADE, randomBytes(1 + index * 11 % 3000)])
    case 2: return Buffer.concat([GREETING, frame(2, randomBytes(index % 900)), randomBytes(50)])
    case 3: return Buffer.concat([GREETING, said(envelope([TOPIC.EVENT, TOPIC.RECORD, TOPIC.RPC, TOPIC.PRESENCE][index % 4], randomBytes(index % 200)))])
    case 4: return Buffer.concat([UPGRADE, frame(index % 16, randomBytes(index % 300), { fin: index % 5 > 0, masked: index % 7 > 0, rsv: index % 3 === 0 ? 0x40 : 0 })])
    default: return Buffer.from(`GET /${'x'.repeat(index % 5000)} HTTP/1.${index % 3}\r\n${'A: b\r\n'.repeat(index % 300)}\r\n`)
  }
}

describe('torture', () => {
  test('first of all the server is at rest', async () => {
    await serveBystanders()
    empty = await server.census()
    assert.equal(empty.connections, 2)
  })

  for (const time of ['the first time', 'once more', 'and again']) {
    describe(time, () => {
      before(() => memory.push(server.memory()))
      torture()
    })
  }

  test('in the end memory is where it was', async (t) => {
    const [atFirst, once, ...later] = [...memory, server.memory()]
    t.diagnostic(`${SHARDS} shards: resident memory ${atFirst} kB at first, ${once} kB after the first time, ${later.join(' kB, ')} kB after the others`)
    t.diagnostic(`held: ${JSON.stringify(await server.census())}`)
    const taken = later.map((kb, index) => kb - [once, ...later][index])
    assert.ok(Math.min(...taken) < MEMORY_KB_MAX, `${taken.join(' kB, ')} kB are gone`)
  })
})

function torture () {
  test('garbage at every stage of a connection', async () => {
    await each(1500, async (index) => {
      const socket = await connect(server, from(index))
      socket.write(garbage(index))
      if (index % 3) socket.end()
      else drop(socket, index)
      await gone(socket)
    })
    await untouched()
  })

  test('a whole session cut at every byte, and dropped or continued there', async () => {
    const name = unique('cut')
    const session = Buffer.concat([
      GREETING,
      said(encode(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [name], correlationId: 'e' })),
      said(encode(TOPIC.RPC, { action: RPC.PROVIDE, names: [name], correlationId: 'p' })),
      frame(2, encode(TOPIC.RECORD, { action: RECORD.SUBSCRIBECREATEANDREAD, names: [name], correlationId: 'r' }).subarray(0, 9), { fin: false }),
      frame(9, Buffer.from('ping')),
      frame(0, encode(TOPIC.RECORD, { action: RECORD.SUBSCRIBECREATEANDREAD, names: [name], correlationId: 'r' }).subarray(9)),
      said(PING)
    ])
    await each(session.length, async (cut) => {
      const dropped = await connect(server, from(cut))
      dropped.write(session.subarray(0, cut))
      drop(dropped, cut)
      await gone(dropped)

      const socket = await connect(server, from(cut))
      socket.setNoDelay(true)
      const seen = new Set()
      socket.on('data', messages((message) => seen.add(message.correlationId ?? `${message.topic}.${message.action}`)))
      await new Promise((resolve) => socket.write(session.subarray(0, cut), resolve))
      await new Promise((resolve) => setImmediate(resolve))
      socket.write(session.subarray(cut))
      const wanted = ['e', 'p', 'r', `${TOPIC.CONNECTION}.${CONNECTION.PONG}`]
      await until(`a session cut at byte ${cut} is answered`, () => wanted.every((entry) => seen.has(entry)) || socket.destroyed)
      assert.deepEqual(wanted.filter((entry) => !seen.has(entry)), [], `cut at byte ${cut}`)
      drop(socket, cut)
      await gone(socket)
    })
    await untouched()
  })

  for (const [what, greeting, flood] of [
    ['before the challenge', UPGRADE, said(Buffer.concat(Array(200).fill(PING)))],
    ['before the login', Buffer.concat([UPGRADE, CHALLENGE]), said(encode(TOPIC.EVENT, { action: EVENT.EMIT, name: 'bystander', data: `"${'x'.repeat(900)}"` }))],
    ['of logins', Buffer.concat([UPGRADE, CHALLENGE]), Buffer.concat(Array(20).fill(LOGIN))],
    ['behind the login', GREETING, said(encode(TOPIC.RECORD, { action: RECORD.HEAD, name: 'flood' }))]
  ]) {
    test(`floods ${what} whose answers nobody reads`, async () => {
      await each(40, async (index) => {
        const socket = await connect(server, from(index))
        socket.pause()
        socket.write(greeting)
        const burst = Buffer.concat(Array(Math.ceil(400_000 / flood.length)).fill(flood))
        // Until it is no longer read, or everything is sent.
        let sent = 0
        const sending = (async () => {
          while (sent < 4 && !socket.destroyed) {
            sent += 1
            await new Promise((resolve) => socket.write(burst, resolve))
          }
        })()
        await until('it is stuck, sent or closed', () => socket.destroyed || sent === 4 || socket.writableLength > 0)
        drop(socket, index)
        await gone(socket)
        await sending
      })
      await untouched()
    })
  }

  test('subscribers that never read are closed, and the one who does gets everything', async () => {
    const name = unique('firehose')
    const subscribe = said(encode(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [name], correlationId: 's' }))
    const slow = await Promise.all(Array.from({ length: 40 }, async (_, index) => {
      const socket = await connect(server, from(index))
      const subscribed = new Promise((resolve) => socket.on('data', messages((message) => message.correlationId === 's' && resolve())))
      socket.write(Buffer.concat([GREETING, subscribe]))
      await within('the subscription', subscribed)
      socket.pause()
      return socket
    }))
    const [healthy, publisher] = [await Raw.login(undefined, server), await Raw.login(undefined, server)]
    healthy.event(EVENT.SUBSCRIBE, { names: [name], correlationId: 's' })
    await healthy.take()
    const data = JSON.stringify('x'.repeat(60_000))
    const connections = 2 + bystanders.length
    let sent = 0
    const deadline = performance.now() + CLOSED_MS_MAX
    for (let census; census?.connections !== connections; census = await server.census()) {
      assert.ok(performance.now() < deadline, `${census?.connections} connections are left after ${sent} events`)
      for (let index = 0; index < AT_ONCE_EVENTS; index++) publisher.event(EVENT.EMIT, { name, data })
      for (let index = 0; index < AT_ONCE_EVENTS; index++) assertFields(await healthy.take(), { action: EVENT.EMIT, data })
      sent += AT_ONCE_EVENTS
    }
    slow.forEach((socket) => socket.destroy())
    healthy.terminate()
    publisher.terminate()
    await untouched()
  })

  test(`${DROPS} connects and drops in a row`, async () => {
    const stages = [Buffer.alloc(0), UPGRADE, Buffer.concat([UPGRADE, CHALLENGE]), GREETING]
    await each(DROPS, async (index) => {
      const socket = await connect(server, from(index))
      const stage = stages[index % stages.length]
      if (stage.length > 0) socket.write(stage)
      drop(socket, index >> 2)
      await gone(socket)
    })
    await untouched()
  })
}
