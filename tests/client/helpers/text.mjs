// The text protocol by hand: `|` stands for the byte between parts, and `+` for the one that ends a message.

import { once } from 'node:events'
import WebSocket from 'ws'
import { PATH } from './old-clients.mjs'
import { DEADLINE, atEnd, until, within } from './until.mjs'

export const said = (text) => text.replaceAll('|', '\x1f').replaceAll('+', '\x1e')
const shown = (text) => text.replaceAll('\x1f', '|').replaceAll('\x1e', '+')

export class Text {
  constructor (socket) {
    this.socket = socket
    this.received = []
    this.frames = 0
    this.ended = undefined
    socket.on('message', (data, isBinary) => {
      this.frames += 1
      if (isBinary) this.received.push(`binary ${data.toString('hex')}`)
      else this.received.push(...shown(data.toString()).match(/[^+]*\+|[^+]+$/g) ?? ['an empty frame'])
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => socket.on('close', (code, reason) => {
      this.ended = { code, reason: reason.toString() }
      resolve(this.ended)
    }))
  }

  /** Greeted, not logged in. Pings are answered and not shown. */
  static async open (t, server, { path = PATH, ...options } = {}) {
    const socket = new WebSocket(`${server.scheme ?? 'ws'}://${server.url}${path}`, { perMessageDeflate: false, ca: server.ca, ...options })
    const text = new Text(socket)
    if (t) atEnd(t, () => text.terminate())
    await within('the WebSocket to open', once(socket, 'open'))
    return text
  }

  static async login (t, server, parameters = {}, options = {}) {
    const text = await Text.open(t, server, options)
    text.say(`A|REQ|${JSON.stringify(parameters)}+`)
    await text.next('A|A')
    return text
  }

  say (text) {
    this.socket.send(said(text))
  }

  /** The next message in order of arrival; pings are passed over. */
  async take (deadline = DEADLINE) {
    for (;;) {
      await until('a message arrives', () => this.received.length > 0 || this.ended, { deadline })
      if (this.received.length === 0) throw new Error(`the connection ended (${this.ended.code}) while a message was awaited`)
      const message = this.received.shift()
      if (message !== 'C|PI+') return message
    }
  }

  /** The next message that begins like this; what came before is dropped. */
  async next (start, deadline = DEADLINE) {
    const passed = []
    for (;;) {
      const message = await this.take(deadline).catch((error) => {
        error.message = `no ${start} after ${JSON.stringify(passed)}: ${error.message}`
        throw error
      })
      if (message.startsWith(start)) return message
      passed.push(message)
    }
  }

  /** Says this, and gives the next so many messages. */
  async ask (text, count = 1) {
    this.say(text)
    const answers = []
    while (answers.length < count) answers.push(await this.take())
    return count === 1 ? answers[0] : answers
  }

  /** What arrived before the answer to a ping sent now. */
  async untilPong () {
    this.say('C|PI+')
    const passed = []
    for (;;) {
      const message = await this.take()
      if (message === 'C|PO+') return passed
      passed.push(message)
    }
  }

  terminate () {
    this.socket.terminate()
  }

  close () {
    this.socket.close()
    return this.closed
  }
}
