// A WebSocket that says exactly what a test tells it to and keeps what it is told, in order. What is spoken on it, those know who
// extend it: `read` gives the messages of a frame, `fits` says whether one is what is waited for.

import { once } from 'node:events'
import WebSocket from 'ws'
import { DEADLINE, atEnd, until, within } from './until.mjs'

export class ByHand {
  constructor (socket) {
    this.socket = socket
    this.received = []
    this.ended = undefined
    socket.on('message', (data, isBinary) => this.received.push(...this.read(data, isBinary)))
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => socket.on('close', (code, reason) => {
      this.ended = { code, reason: reason.toString() }
      resolve(this.ended)
    }))
  }

  /** An open WebSocket that has said nothing yet; gone when the test ends, if there is one. */
  static async open (t, server, { path = this.PATH, ...options } = {}) {
    const socket = new WebSocket(`${server.scheme ?? 'ws'}://${server.url}${path}`, { perMessageDeflate: false, ca: server.ca, ...options })
    const opened = new this(socket)
    if (t) atEnd(t, () => opened.terminate())
    await within('the WebSocket to open', once(socket, 'open'))
    return opened
  }

  /** The next message in order of arrival. */
  async take (deadline = DEADLINE) {
    await until('a message arrives', () => this.received.length > 0 || this.ended, { deadline })
    if (this.received.length === 0) throw new Error(`the connection ended (${this.ended.code}) while a message was awaited`)
    return this.received.shift()
  }

  /** The next message that fits; what came before it is dropped, and is in `passed`. */
  async next (wanted, deadline = DEADLINE) {
    const passed = []
    for (;;) {
      const message = await this.take(deadline).catch((error) => {
        error.message = `no ${JSON.stringify(wanted)} after ${JSON.stringify(passed)}: ${error.message}`
        throw error
      })
      if (this.fits(message, wanted)) {
        this.passed = passed
        return message
      }
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

  terminate () {
    this.socket.terminate()
  }

  close () {
    this.socket.close()
    return this.closed
  }
}
