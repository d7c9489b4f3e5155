// Connections that log in, take a hand in everything and vanish, by the thousand and in every way a
// connection can end: afterwards every registry of every shard is as empty as before, and so, but for
// what an allocator keeps, is memory.
//
// In one run the cores sleep at once, in another they spin first: work left undone by a core that falls asleep too
// early shows as a registry that does not empty.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serverFor } from '../helpers/server.mjs'
import { connect, frame, messages, said, UPGRADE } from '../helpers/tcp.mjs'
import { unique, within } from '../helpers/until.mjs'
import { AUTH, CONNECTION, EVENT, PRESENCE, RECORD, RPC, TOPIC, encode } from '../helpers/wire.mjs'

const CYCLES = Number(process.env.DEEPSTREAM_LEAK_CYCLES ?? 3000)
/** Tables, pools and caches grow to their size in these. */
const WARM_UP = 1500
const AT_ONCE = 50
const MEMORY_KB_MAX = 6 * 1024

const LEAVING = {
  end: (socket) => socket.end(),
  reset: (socket) => socket.resetAndDestroy(),
  close: (socket) => socket.end(frame(8, Buffer.from([0x03, 0xe8]))),
  destroy: (socket) => socket.destroy()
}
const WAYS = Object.keys(LEAVING)

/** Everything a client can leave behind, with the correlation ids that will be answered. */
function everything (index) {
  const own = unique('own')
  const shared = `shared/${index % 40}`
  const wanted = ['event', 'record', 'head', 'rpc', 'presence', 'all', 'query', 'write']
  const say = [
    [TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [own, shared], correlationId: 'event' }],
    [TOPIC.RECORD, { action: RECORD.SUBSCRIBECREATEANDREAD, names: [shared], correlationId: 'record' }],
    [TOPIC.RECORD, { action: RECORD.SUBSCRIBEANDHEAD, names: [own, shared], correlationId: 'head' }],
    [TOPIC.RPC, { action: RPC.PROVIDE, names: [own, shared], correlationId: 'rpc' }],
    [TOPIC.PRESENCE, { action: PRESENCE.SUBSCRIBE, names: [`user/${index % 70}`, own], correlationId: 'presence' }],
    [TOPIC.PRESENCE, { action: PRESENCE.SUBSCRIBE_ALL, correlationId: 'all' }],
    [TOPIC.PRESENCE, { action: PRESENCE.QUERY, names: [`user/${index % 70}`], correlationId: 'query' }],
    // To another's provider, who never answers: the call outlives whichever of the two goes first.
    [TOPIC.RPC, { action: RPC.REQUEST, name: `shared/${(index + 1) % 40}`, correlationId: unique('call'), data: '1' }],
    [TOPIC.EVENT, { action: EVENT.EMIT, name: shared, data: String(index) }],
    [TOPIC.RECORD, { action: RECORD.CREATEANDPATCH, name: shared, version: -1, path: `p${index % 5}`, data: String(index), isWriteAck: true, correlationId: 'write' }]
  ]
  return { wanted, bytes: Buffer.concat(say.map(([topic, fields]) => said(encode(topic, fields)))) }
}

async function cycle (server, index) {
  const socket = await connect(server, { localAddress: `127.0.0.${2 + index % 200}` })
  const { wanted, bytes } = everything(index)
  const missing = new Set(wanted)
  const answers = new Promise((resolve) => {
    const look = messages((message) => {
      missing.delete(message.correlationId)
      if (missing.size === 0) resolve()
    })
    socket.on('data', (chunk) => {
      socket.forget()
      look(chunk)
    })
    socket.once('close', resolve)
  })
  socket.write(Buffer.concat([
    UPGRADE,
    said(encode(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'x' })),
    said(encode(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ username: `user/${index % 70}` }) })),
    bytes
  ]))
  // One in four leaves before it was answered.
  if (index % 4 !== 3) {
    await within('all answers', answers)
    assert.equal(missing.size, 0, `the connection ended before ${[...missing]}`)
  }
  LEAVING[WAYS[Math.floor(index / 4) % WAYS.length]](socket)
  await within('the end', socket.gone)
}

async function cycles (server, count, from) {
  let next = from
  const worker = async () => {
    while (next < from + count) await cycle(server, next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

for (const latencyProfile of ['eco', 'balanced']) {
  test(`${CYCLES} connections that do everything and vanish, latencyProfile ${latencyProfile}`, async (t) => {
    const server = await serverFor(t, {
      logLevel: 'WARN',
      extra: {
        cores: { count: 2, pin: false, latencyProfile },
        rpc: { ackTimeout: 500, responseTimeout: 1000 }
      }
    })
    const empty = await server.atRest()
    await cycles(server, WARM_UP, 0)
    await server.atRest(empty)
    const before = server.memory()
    await cycles(server, CYCLES, WARM_UP)
    const after = await server.atRest(empty)
    const memory = server.memory()
    t.diagnostic(`resident memory ${before} kB before, ${memory} kB after ${CYCLES} cycles`)
    t.diagnostic(`held before and after: ${JSON.stringify(after)}`)
    assert.ok(memory - before < MEMORY_KB_MAX, `${memory - before} kB are gone`)
  })
}
