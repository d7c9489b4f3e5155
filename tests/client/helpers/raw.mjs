// The binary protocol by hand: fields in, fields out, in order.

import assert from 'node:assert/strict'
import { ByHand } from './by-hand.mjs'
import { atEnd } from './until.mjs'
import { AUTH, CONNECTION, TOPIC, decode, encode } from './wire.mjs'

export class Raw extends ByHand {
  static PATH = '/deepstream'
  frames = []

  read (data, isBinary) {
    this.frames.push(data)
    return [isBinary ? decode(data) : { text: data.toString() }]
  }

  fits (message, fields) {
    return matches(message, fields)
  }

  /** An open WebSocket that has said nothing yet, whoever ends it. */
  static open (server, options) {
    return super.open(undefined, server, options)
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
