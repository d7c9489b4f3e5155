// The C++ client, as strict as it is: its parser, its table of messages and its state machine, from its public sources
// (deepstreamIO/deepstream.io-client-cpp). It has no records and no calls. Where it would report an error to its app, end in its
// state of error or throw, this says so in `errors`.

import { once } from 'node:events'
import WebSocket from 'ws'
import { atEnd, until, within } from './until.mjs'

const PART = '\x1f'
const END = '\x1e'
const shown = (text) => text.replaceAll(PART, '|').replaceAll(END, '+')

/** What it takes from a server, and with how many parts behind it. */
const TAKEN = {
  'A|A': [0, 1],
  'A|E|INVALID_AUTH_DATA': [1, 1],
  'A|E|INVALID_AUTH_MSG': [1, 1],
  'A|E|TOO_MANY_AUTH_ATTEMPTS': [1, 1],
  'C|A': [0, 0],
  'C|CH': [0, 0],
  'C|PI': [0, 0],
  'C|RED': [1, 1],
  'C|REJ': [0, 1],
  'E|A|L': [1, 1],
  'E|A|S': [1, 1],
  'E|A|US': [1, 1],
  'E|EVT': [2, 2],
  'E|SP': [2, 2],
  'E|SR': [2, 2],
  'U|A|S': [1, 1],
  'U|A|US': [1, 1],
  'U|PNJ': [1, 1],
  'U|PNL': [1, 1],
  'U|Q': [0, Infinity]
}

/** Where a message leads in which state; anywhere else it is an error. */
const INCOMING = {
  'AWAIT_CONNECTION C|CH': 'CHALLENGING',
  'CHALLENGING_WAIT C|A': 'AWAIT_AUTHENTICATION',
  'CHALLENGING_WAIT C|RED': 'AWAIT_CONNECTION',
  'CHALLENGING_WAIT C|REJ': 'CLOSED',
  'AUTHENTICATING A|A': 'OPEN',
  'AUTHENTICATING A|E|TOO_MANY_AUTH_ATTEMPTS': 'CLOSED',
  'AUTHENTICATING A|E|INVALID_AUTH_DATA': 'AWAIT_AUTHENTICATION',
  'AUTHENTICATING A|E|INVALID_AUTH_MSG': 'CLOSED'
}
const OUTGOING = {
  'CHALLENGING C|CHR': 'CHALLENGING_WAIT',
  'AWAIT_AUTHENTICATION A|REQ': 'AUTHENTICATING'
}

export class CppClient {
  constructor (uri) {
    this.uri = uri
    this.state = 'CLOSED'
    /** Every state it was in, and every message it was told. */
    this.states = []
    this.told = []
    this.errors = []
    this.refusals = []
    this.closing = false
    this.subscribers = new Map()
    this.listeners = new Map()
    this.watchers = []
    this.questions = []
    this.unsent = []
  }

  /** Connected, and challenged as soon as the server does. */
  static async open (t, server, path) {
    const client = new CppClient(`ws://${server.url}${path}`)
    const socket = new WebSocket(client.uri, { perMessageDeflate: false })
    client.socket = socket
    atEnd(t, () => socket.terminate())
    socket.on('error', (error) => client.errors.push(error.message))
    socket.on('open', () => client.#enter('AWAIT_CONNECTION'))
    socket.on('message', (data, isBinary) => client.#received(data, isBinary))
    // It reads what has no bytes as the end.
    socket.on('ping', (data) => { if (data.length === 0) client.errors.push('an empty ping') })
    client.closed = new Promise((resolve) => socket.on('close', (code) => {
      client.#enter('CLOSED')
      resolve(code)
    }))
    await within('the WebSocket to open', once(socket, 'open'))
    return client
  }

  /** Resolves once logged in, with what the login told; rejects once it was refused. */
  async login (parameters) {
    this.parameters = typeof parameters === 'string' ? parameters : JSON.stringify(parameters)
    this.answered = undefined
    if (this.state === 'AWAIT_AUTHENTICATION') this.#say('A|REQ', this.parameters)
    await until('the login is answered', () => this.answered || this.refusals.length > 0 || this.errors.length > 0)
    if (!this.answered) throw new Error([...this.errors, ...this.refusals].join('; '))
    return this.answered.part
  }

  emit (name, typed) {
    if (!this.#say('E|EVT', name, typed)) this.unsent.push(['E|EVT', name, typed])
    this.subscribers.get(name)?.(typed)
  }

  subscribe (name, callback) {
    this.subscribers.set(name, callback)
    this.#say('E|S', name)
  }

  unsubscribe (name) {
    this.subscribers.delete(name)
    // Only with the last one does it say so.
    if (this.subscribers.size === 0) this.#say('E|US', name)
  }

  listen (pattern, callback) {
    this.listeners.set(pattern, callback)
    this.#say('E|L', pattern)
  }

  watch (callback) {
    this.watchers.push(callback)
    if (this.watchers.length === 1) this.#say('U|S|S')
  }

  unwatch () {
    this.watchers = []
    this.#say('U|US|US')
  }

  async everybody () {
    const answer = new Promise((resolve) => this.questions.push(resolve))
    if (this.questions.length === 1) this.#say('U|Q', 'Q')
    return within('who is there', answer)
  }

  close () {
    this.closing = true
    this.socket.close()
    return this.closed
  }

  /** Resolves once it was told this. */
  async untilTold (message) {
    await until(`it is told ${message}; it was told ${this.told} and reports ${this.errors}`, () => this.told.includes(message))
  }

  #enter (state) {
    if (state === this.state) return
    this.state = state
    this.states.push(state)
    if (state === 'ERROR') this.errors.push(`in the state of error, after ${this.told.at(-1)}`)
    if (state !== 'OPEN') return
    for (const name of this.subscribers.keys()) this.#say('E|S', name)
    for (const pattern of this.listeners.keys()) this.#say('E|L', pattern)
    for (const message of this.unsent.splice(0)) this.#say(...message)
  }

  #say (header, ...parts) {
    if (/^[CA]/.test(header)) {
      if (header !== 'C|PO') this.#enter(OUTGOING[`${this.state} ${header}`] ?? 'ERROR')
      if (this.state === 'ERROR') return false
    } else if (this.state !== 'OPEN') {
      return false
    }
    this.socket.send([header.replaceAll('|', PART), ...parts].join(PART) + END)
    return true
  }

  #received (data, isBinary) {
    if (isBinary) this.errors.push(`bytes: ${data.toString('hex')}`)
    for (const message of data.toString().match(/[^\x1e]*\x1e|[^\x1e]+$/g) ?? ['']) this.#parse(message)
  }

  #parse (message) {
    const text = shown(message)
    this.told.push(text)
    // The longest header that fits; each part behind it has a content, and something ends it.
    const headers = Object.keys(TAKEN).filter((header) => text.startsWith(header)).sort((a, b) => b.length - a.length)
    const header = headers[0]
    const rest = header && message.slice(header.length)
    if (!header || !/^(\x1f[^\x1e\x1f]+)*\x1e$/.test(rest)) {
      this.errors.push(`parser error: ${text}`)
      return
    }
    const parts = rest.slice(0, -1).split(PART).slice(1)
    const [least, most] = TAKEN[header]
    if (parts.length < least || parts.length > most) {
      this.errors.push(`invalid number of message arguments: ${text}`)
      return
    }
    if (!this.closing) this.#take(header, parts)
  }

  #take (header, parts) {
    if (header === 'C|PI') {
      this.#say('C|PO')
    } else if (header.startsWith('C|')) {
      this.#enter(INCOMING[`${this.state} ${header}`] ?? (this.state === 'OPEN' ? 'OPEN' : 'ERROR'))
      if (header === 'C|CH') this.#say('C|CHR', this.uri)
      else if (header === 'C|A' && this.parameters) this.#say('A|REQ', this.parameters)
    } else if (header.startsWith('A|')) {
      this.#enter(INCOMING[`${this.state} ${header}`] ?? (this.state === 'OPEN' ? 'OPEN' : 'ERROR'))
      if (header === 'A|A') this.answered = { part: parts[0] }
      else this.refusals.push(header)
      // Whoever was refused does not try again.
      if (header !== 'A|A') this.close()
    } else if (header === 'E|EVT') {
      this.subscribers.get(parts[0])?.(parts[1])
    } else if (header === 'E|SP') {
      this.#say(this.listeners.get(parts[0])?.(parts[1], true) ? 'E|LA' : 'E|LR', ...parts)
    } else if (header === 'E|SR') {
      this.listeners.get(parts[0])?.(parts[1], false)
    } else if (header === 'U|PNJ' || header === 'U|PNL') {
      for (const watcher of this.watchers) watcher(parts[0], header === 'U|PNJ')
    } else if (header === 'U|Q') {
      for (const answer of this.questions.splice(0)) answer(parts)
    }
  }
}
