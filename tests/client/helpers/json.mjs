// The JSON protocol by hand: objects in, objects out, in order.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import WebSocket from 'ws'
import { matches } from './raw.mjs'
import { DEADLINE, atEnd, until, within } from './until.mjs'
import { AUTH, CONNECTION, TOPIC } from './wire.mjs'

export const PATH = '/deepstream-json'

export class Json {
  constructor (socket) {
    this.socket = socket
    this.received = []
    this.ended = undefined
    socket.on('message', (data, isBinary) => this.received.push(isBinary ? { binary: data.toString('hex') } : JSON.parse(data)))
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => socket.on('close', (code, reason) => {
      this.ended = { code, reason: reason.toString() }
      resolve(this.ended)
    }))
  }

  /** An open WebSocket that has said nothing yet. */
  static async open (t, server, { path = PATH, ...options } = {}) {
    const socket = new WebSocket(`${server.scheme ?? 'ws'}://${server.url}${path}`, { perMessageDeflate: false, ca: server.ca, ...options })
    const json = new Json(socket)
    if (t) atEnd(t, () => json.terminate())
    await within('the WebSocket to open', once(socket, 'open'))
    return json
  }

  static async challenged (t, server, options) {
    const json = await Json.open(t, server, options)
    const answer = await json.ask({ topic: TOPIC.CONNECTION, action: CONNECTION.CHALLENGE, url: 'ws://h', protocolVersion: '0.1a', sdkVersion: '7.0.5', sdkType: 'javascript' })
    assert.deepEqual(answer, { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    return json
  }

  static async login (t, server, parameters = {}, options = {}) {
    const json = await Json.challenged(t, server, options)
    const answer = await json.ask({ topic: TOPIC.AUTH, action: AUTH.REQUEST, parsedData: parameters })
    assert.deepEqual([answer.topic, answer.action], [TOPIC.AUTH, AUTH.AUTH_SUCCESSFUL])
    return json
  }

  say (message) {
    this.text(JSON.stringify(message))
  }

  text (text) {
    this.socket.send(text)
  }

  /** The next message in order of arrival. */
  async take (deadline = DEADLINE) {
    await until('a message arrives', () => this.received.length > 0 || this.ended, { deadline })
    if (this.received.length === 0) throw new Error(`the connection ended (${this.ended.code}) while a message was awaited`)
    return this.received.shift()
  }

  /** The next message that has all of `fields`; what came before it is dropped. */
  async next (fields) {
    const passed = []
    for (;;) {
      const message = await this.take().catch((error) => {
        error.message = `no ${JSON.stringify(fields)} after ${JSON.stringify(passed)}: ${error.message}`
        throw error
      })
      if (matches(message, fields)) return message
      passed.push(message)
    }
  }

  /** Says this, and gives the next message, or so many of them. */
  async ask (message, count = 1) {
    this.say(message)
    const answers = []
    while (answers.length < count) answers.push(await this.take())
    return count === 1 ? answers[0] : answers
  }

  /** What arrived before the answer to a ping sent now. */
  async untilPong () {
    this.say({ topic: TOPIC.CONNECTION, action: CONNECTION.PING })
    const passed = []
    for (;;) {
      const message = await this.take()
      if (matches(message, { topic: TOPIC.CONNECTION, action: CONNECTION.PONG })) return passed
      passed.push(message)
    }
  }

  terminate () {
    this.socket.terminate()
  }
}
