// A bare TCP connection, and WebSocket by hand: for frames no library would send, bytes cut where a
// test wants them, and thousands of connections that cost little on this side.

import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { until } from './until.mjs'
import { decode } from './wire.mjs'

export const UPGRADE = Buffer.from('GET /deepstream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
const HEAD_END = '\r\n\r\n'

/** One WebSocket frame; masked as clients must, unless told otherwise. */
export function frame (opcode, payload, { fin = true, masked = true, rsv = 0, length = payload.length } = {}) {
  const head = [(fin ? 0x80 : 0) | rsv | opcode]
  const flag = masked ? 0x80 : 0
  if (length < 126) head.push(flag | length)
  else if (length < 65536) head.push(flag | 126, length >> 8, length & 255)
  else head.push(flag | 127, ...Buffer.from(BigInt.asUintN(64, BigInt(length)).toString(16).padStart(16, '0'), 'hex'))
  const mask = masked ? Buffer.from([0, 0, 0, 0]) : Buffer.alloc(0)
  return Buffer.concat([Buffer.from(head), mask, payload])
}

/** A message as a client sends it, and as the server does. */
export const said = (payload) => frame(2, payload)
export const answered = (payload) => frame(2, payload, { masked: false })

/** Connected, over TLS if that is what the port speaks; keeps what it hears in `heard`, errors end in `gone`. */
export async function connect (server, options = {}) {
  const secured = server.scheme === 'wss'
  const socket = secured
    ? tls.connect({ port: server.port, host: 'localhost', ca: server.ca, ...options })
    : net.connect({ port: server.port, host: '127.0.0.1', ...options })
  socket.chunks = []
  socket.heardBytes = 0
  socket.on('data', (chunk) => {
    socket.chunks.push(chunk)
    socket.heardBytes += chunk.length
  })
  Object.defineProperty(socket, 'heard', { get: () => Buffer.concat(socket.chunks) })
  socket.forget = () => {
    socket.chunks = []
    socket.heardBytes = 0
  }
  socket.on('error', () => {})
  socket.gone = new Promise((resolve) => socket.once('close', resolve))
  await Promise.race([once(socket, secured ? 'secureConnect' : 'connect'), socket.gone])
  return socket
}

/** What was heard behind the answer to the upgrade; undefined while that is not whole. */
export function behindUpgrade (socket) {
  const heard = socket.heard
  const end = heard.indexOf(HEAD_END)
  return end < 0 ? undefined : heard.subarray(end + HEAD_END.length)
}

/** Waits until the connection heard so many bytes behind the answer to its upgrade, or is gone. */
export function hears (socket, bytes, options) {
  return until('enough was heard', () => socket.destroyed || (behindUpgrade(socket)?.length ?? -1) >= bytes, options)
}

/** A function that takes what a server sends, however it is cut, and calls `each` with every message behind the upgrade. */
export function messages (each) {
  let rest = Buffer.alloc(0)
  let upgraded = false
  return (chunk) => {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    if (!upgraded) {
      const end = rest.indexOf(HEAD_END)
      if (end < 0) return
      upgraded = true
      rest = rest.subarray(end + HEAD_END.length)
    }
    while (rest.length >= 2) {
      const short = rest[1]
      const at = short < 126 ? 2 : short === 126 ? 4 : 10
      if (rest.length < at) return
      const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
      if (rest.length < at + length) return
      if ((rest[0] & 15) === 2) each(decode(rest.subarray(at, at + length)))
      rest = rest.subarray(at + length)
    }
  }
}
