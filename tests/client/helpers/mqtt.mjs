// Clients of MQTT: the one of npm, and packets by hand where a test wants what no library would send.

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import mqtt from 'mqtt'
import { freePort } from './ports.mjs'
import { Server } from './server.mjs'
import { atEnd, until, within } from './until.mjs'

/** A server that listens for MQTT as well; its port is `server.mqttPort`. `files` are put beside its configuration. */
export async function mqttServer (t, { files = {}, ...options } = {}) {
  const port = await freePort()
  const server = await Server.prepare({ memory: true, ...options, mqtt: { port, ...options.mqtt } })
  atEnd(t, () => server.discard())
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(server.directory, name), text)
  await server.launch()
  server.mqttPort = port
  return server
}

/** A client, connected. Everything it hears is kept in `client.heard`, newest last: [topic, payload, packet]. */
export async function connected (t, server, options = {}) {
  const client = await tried(t, server, options)
  await within('the connection', new Promise((resolve, reject) => {
    client.once('connect', (connack) => { client.connack = connack; resolve() })
    client.once('error', reject)
    client.once('close', () => reject(new Error('closed')))
  }))
  return client
}

/** A client that tries to connect. */
export async function tried (t, server, options = {}) {
  const client = mqtt.connect(options.url ?? `mqtt://127.0.0.1:${server.mqttPort}`, { reconnectPeriod: 0, connectTimeout: 8000, protocolVersion: 4, ...options })
  client.heard = []
  client.failures = []
  client.left = new Promise((resolve) => client.once('close', resolve))
  client.on('message', (topic, payload, packet) => client.heard.push([topic, payload.toString(), packet]))
  client.on('error', (error) => client.failures.push(error))
  client.on('disconnect', (packet) => { client.disconnection = packet })
  atEnd(t, () => client.endAsync(true))
  return client
}

/** Waits until the client heard so many messages; answers [topic, payload] of each. */
export async function hears (client, count) {
  await until(`${count} messages were heard`, () => client.heard.length >= count)
  return client.heard.map(([topic, payload]) => [topic, payload])
}

const text = (value) => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

/** A packet of whatever is in its body. */
export function packet (first, ...parts) {
  const body = Buffer.concat(parts.map((part) => typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part)))
  const head = [first]
  let length = body.length
  do {
    head.push((length & 127) | (length > 127 ? 128 : 0))
    length >>= 7
  } while (length > 0)
  return Buffer.concat([Buffer.from(head), body])
}

export const CONNECT = (id = 'raw', { version = 4, keepalive = 60, flags = 2, rest = [] } = {}) =>
  packet(0x10, text('MQTT'), version, flags, keepalive >> 8, keepalive & 255, ...(version === 5 ? [0] : []), text(id), ...rest)
export const SUBSCRIBE = (id, filter, qos = 0) => packet(0x82, id >> 8, id & 255, text(filter), qos)
export const PUBLISH = (topic, payload, { qos = 0, retain = 0, id = 1, dup = 0 } = {}) =>
  packet(0x30 | dup << 3 | qos << 1 | retain, text(topic), ...(qos ? [id >> 8, id & 255] : []), payload)
export const PINGREQ = packet(0xc0)
export const DISCONNECT = packet(0xe0)
export { text }

/** A bare connection to the MQTT port; what it hears is in `heard`. */
export async function bare (t, server) {
  const socket = net.connect({ port: server.mqttPort, host: '127.0.0.1', noDelay: true })
  const chunks = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {})
  Object.defineProperty(socket, 'heard', { get: () => Buffer.concat(chunks) })
  socket.gone = new Promise((resolve) => socket.once('close', resolve))
  await within('the connection', once(socket, 'connect'))
  atEnd(t, () => socket.destroy())
  return socket
}

/** Waits until exactly these bytes were heard. */
export async function answers (socket, bytes) {
  const wanted = Buffer.from(bytes)
  await until(`${wanted.toString('hex')} is heard`, () => socket.heard.length >= wanted.length || socket.destroyed)
  return socket.heard.toString('hex')
}
