// A connection that says exactly what a test tells it to and keeps every answer, in order.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import WebSocket from 'ws'
import { AUTH, CONNECTION, TOPIC, decode, encode } from './wire.mjs'
import { DEADLINE, atEnd, until, within } from './until.mjs'

export class Raw {
  constructor (socket) {
    this.socket = socket
    this.received = []
    this.frames = []
    this.ended = undefined
    socket.on('message', (data, isBinary) => {
      this.frames.push(data)
      this.received.push(isBinary ? decode(data) : { text: data.toString() })
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => socket.on('close', (code, reason) => {
      this.ended = { code, reason: reason.toString() }
      resolve(this.ended)
    }))
  }

  /** An open WebSocket that has said nothing yet. */
  static async open (server, { path = '/deepstream', ...options } = {}) {
    const socket = new WebSocket(`${server.scheme ?? 'ws'}://${server.url}${path}`, { perMessageDeflate: false, ca: server.ca, ...options })
    const raw = new Raw(socket)
    await within('the WebSocket to open', once(socket, 'open'))
    return raw
  }

  /** Challenge accepted, not logged in. */
  static async challenged (server, options = {}) {
    const raw = await Raw.open(server, options)
    raw.send(TOPIC.CONNECTION, {
      action: CONNECTION.CHALLENGE,
      url: `ws://${server.url}/deepstream`,
      protocolVersion: '0.1a',
      sdkVersion: options.sdkVersion ?? '7.1.0',
      sdkType: options.sdkType ?? 'javascript'
    })
    assert.deepEqual(await raw.take(), { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    return raw
  }

  /** Logged in; closed when the test ends. */
  static async login (t, server, options = {}) {
    const raw = await Raw.challenged(server, options)
    if (t) atEnd(t, () => raw.terminate())
    const { username } = options
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ username }) })
    const answer = await raw.take()
    assert.equal(answer.topic, TOPIC.AUTH)
    assert.equal(answer.action, AUTH.AUTH_SUCCESSFUL)
    return raw
  }

  send (topic, fields) {
    this.bytes(encode(topic, fields))
  }

  event (action, fields) {
    this.send(TOPIC.EVENT, { action, ...fields })
  }

  record (action, fields) {
    this.send(TOPIC.RECORD, { action, ...fields })
  }

  rpc (action, fields) {
    this.send(TOPIC.RPC, { action, ...fields })
  }

  presence (action, fields) {
    this.send(TOPIC.PRESENCE, { action, ...fields })
  }

  bytes (buffer) {
    this.socket.send(buffer, { binary: true })
  }

  /** The next message in order of arrival. */
  async take (deadline = DEADLINE) {
    await until('a message arrives', () => this.received.length > 0 || this.ended, { deadline })
    if (this.received.length === 0) throw new Error(`the connection ended (${this.ended.code}) while a message was awaited`)
    return this.received.shift()
  }

  /** The next message that has all of `fields`; what came before it is dropped and answered too. */
  async next (fields, deadline = DEADLINE) {
    const passed = []
    for (;;) {
      const message = await this.take(deadline).catch((error) => {
        error.message = `no ${JSON.stringify(fields)} after ${JSON.stringify(passed)}: ${error.message}`
        throw error
      })
      if (matches(message, fields)) {
        this.passed = passed
        return message
      }
      passed.push(message)
    }
  }

  /** Asks and waits for the one answer, in one breath. */
  async ask (topic, fields, answer) {
    this.send(topic, fields)
    return this.next({ topic, ...answer })
  }

  /**
   * Everything that arrived before the answer to a PING sent now. A PONG comes from the connection's
   * own core, so it marks the end of what that core answers, not of what other cores still send.
   */
  async untilPong () {
    this.send(TOPIC.CONNECTION, { action: CONNECTION.PING })
    await this.next({ topic: TOPIC.CONNECTION, action: CONNECTION.PONG })
    return this.passed
  }

  terminate () {
    this.socket.terminate()
  }

  close () {
    this.socket.close()
    return this.closed
  }
}

export function matches (message, fields) {
  return Object.entries(fields).every(([key, value]) => {
    try {
      assert.deepEqual(message[key], value)
      return true
    } catch {
      return false
    }
  })
}

/** Asserts the named fields; `undefined` as value means the field must be absent. */
export function assertFields (message, fields) {
  const seen = Object.fromEntries(Object.keys(fields).map((key) => [key, message[key]]))
  assert.deepEqual(seen, fields, `in ${JSON.stringify(message)}`)
}
