// Plays a conversation that was written down: says what its clients said, to the byte, and holds the server to what it is expected to
// answer, to the byte and to the last message. `conversations/README.md` tells how one is written.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { connect, frame } from './tcp.mjs'
import { said } from './text.mjs'
import { DEADLINE, unique, until, within } from './until.mjs'

const TEXT = 1
const CLOSE = 8
const NORMAL = Buffer.from([0x03, 0xe8])
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
// Names that are owned by every shard, but for one time in a hundred million: what answers for them all has said all it had to say.
const NAMES_OF_ALL = 64
const ROUNDS = 3

const shown = (payload) => payload.toString().replaceAll('\x1f', '|').replaceAll('\x1e', '+')

/** The steps of a conversation: {line, who, sign, text}. Throws at the first line that is none. */
export function parse (source) {
  const steps = []
  let why
  source.split('\n').forEach((text, index) => {
    const line = index + 1
    const blunder = (what) => { throw new Error(`line ${line}: ${what}: ${text}`) }
    if (text === '' || text.startsWith('#')) return
    if (text.startsWith('why ')) {
      why = { line, reason: text.slice(4) }
      steps.push({ line, sign: 'why', text: why.reason })
      return
    }
    const [, who, sign, message] = /^([a-z])([<>~+*-]) (.+)$/.exec(text) ?? []
    const [, actor, deed] = /^([a-z]) (open|close|closed \d+)$/.exec(text) ?? []
    if (sign === '+' || sign === '-') {
      if (why === undefined) blunder('a difference without a reason before it')
    } else {
      if (why?.line === line - 1) blunder('a reason without a difference behind it')
      why = undefined
    }
    if (sign) steps.push({ line, who, sign, text: message })
    else if (actor) steps.push({ line, who: actor, sign: deed.split(' ')[0], text: deed.split(' ')[1] })
    else if (text === 'cut' || text === 'kill') steps.push({ line, sign: text })
    else blunder('neither a message nor a deed')
  })
  if (why && steps.at(-1).sign === 'why') throw new Error(`line ${why.line}: a reason without a difference behind it`)
  return steps
}

/** What a message is about: of different things a server may speak in any order. */
function subject (text) {
  const [topic, action, ...parts] = text.split(/[|+]/)
  return `${topic} ${action === 'A' || action === 'E' ? parts[1] : parts[0]}`
}

/** One connection, with the handshake that the SDK for Java makes. */
class Speaker {
  constructor (name, deadline) {
    this.name = name
    this.deadline = deadline
    this.received = []
    this.ended = undefined
    this.loggedIn = false
    this.rest = Buffer.alloc(0)
    this.head = undefined
  }

  async open (server) {
    this.socket = await connect(server)
    this.socket.on('data', (chunk) => {
      this.socket.forget()
      this.rest = Buffer.concat([this.rest, chunk])
      this.read()
    })
    this.socket.on('close', () => { this.ended ??= { code: 1006 } })
    this.socket.write(`GET /deepstream HTTP/1.1\r\nConnection: Upgrade\r\nHost: ${server.url}\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 8\r\nUpgrade: websocket\r\n\r\n`)
    await until('the upgrade is answered', () => this.head ?? this.ended)
    assert.match(this.head ?? '', /^HTTP\/1\.1 101 /)
    assert.match(this.head, new RegExp(`^sec-websocket-accept: ${ACCEPT.replaceAll('+', '\\+')}$`, 'im'))
    assert.doesNotMatch(this.head, /^sec-websocket-(extensions|protocol):/im)
  }

  read () {
    if (this.head === undefined) {
      const end = this.rest.indexOf('\r\n\r\n')
      if (end < 0) return
      this.head = this.rest.subarray(0, end).toString().replaceAll('\r', '')
      this.rest = this.rest.subarray(end + 4)
    }
    while (this.rest.length >= 2) {
      const [first, short] = this.rest
      const at = short === 127 ? 10 : short === 126 ? 4 : 2
      if (this.rest.length < at) return
      const length = at === 10 ? Number(this.rest.readBigUInt64BE(2)) : at === 4 ? this.rest.readUInt16BE(2) : short
      if (this.rest.length < at + length) return
      this.take(first, this.rest.subarray(at, at + length))
      this.rest = this.rest.subarray(at + length)
    }
  }

  /** A frame. Some of these clients read one message of each, so each is to hold one, whole. */
  take (first, payload) {
    const message = shown(payload)
    if (first === (0x80 | CLOSE)) this.ended = { code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), frame: true }
    else if (first === (0x80 | TEXT) && message.indexOf('+') === message.length - 1) this.received.push(message)
    else this.received.push(`a frame of ${first.toString(16)}: ${message}`)
    if (message.startsWith('A|A')) this.loggedIn = true
  }

  say (text) {
    this.socket.write(frame(TEXT, Buffer.from(said(text))))
  }

  /** The next message. */
  async next () {
    await until(`${this.name} is told something`, () => this.received.length > 0 || this.ended, { deadline: this.deadline })
    if (this.received.length === 0) throw new Error(`${this.name} was closed (${this.ended.code})`)
    return this.received.shift()
  }
}

export class Play {
  constructor (server, deadline = DEADLINE) {
    this.server = server
    this.deadline = deadline
    this.speakers = new Map()
    this.fresh = new Map([['server', server.url]])
    this.asked = 0
  }

  /** `{word}` stands for something that is different in every play and the same all through one. */
  filled (text) {
    return text.replace(/\{([a-z]+\d*)\}/g, (_, word) => {
      if (!this.fresh.has(word)) this.fresh.set(word, unique(word).replace('/', '-'))
      return this.fresh.get(word)
    })
  }

  /** Plays all of it, and holds the server to have said no more. */
  async perform (source) {
    const steps = parse(source)
    try {
      for (let at = 0; at < steps.length;) {
        const step = steps[at]
        let count = 1
        try {
          if (step.sign === '~') while (steps[at + count]?.sign === '~' && steps[at + count].who === step.who) count += 1
          await this.step(step, steps.slice(at, at + count), steps[at + 1])
        } catch (error) {
          throw new Error(`line ${step.line}, ${step.who ?? ''}${step.sign} ${step.text ?? ''}: ${error.message}`, { cause: error })
        }
        at += step.sign === '*' ? 2 : count
      }
      await this.silence([...this.speakers.values()])
    } finally {
      for (const speaker of this.speakers.values()) speaker.socket?.destroy()
    }
  }

  async step (step, group, following) {
    const { who, sign, text } = step
    if (sign === 'why' || sign === '-') return
    if (sign === 'cut') return this.cut()
    if (sign === 'kill') return this.kill()
    if (sign === 'open') {
      assert.ok(!this.speakers.has(who), 'it is open already')
      this.speakers.set(who, new Speaker(who, this.deadline))
      return this.speakers.get(who).open(this.server)
    }
    const speaker = this.speakers.get(who)
    assert.ok(speaker, 'it is not open')
    if (sign === 'close') {
      await this.silence([speaker])
      speaker.socket.write(frame(CLOSE, NORMAL))
      await within('the close', until('it is closed', () => speaker.ended))
      assert.deepEqual(speaker.ended, { code: 1000, frame: true })
      return this.gone(speaker)
    }
    if (sign === 'closed') {
      await until('the server closes', () => speaker.ended)
      assert.equal(speaker.ended.code, Number(text))
      return this.gone(speaker)
    }
    if (sign === '>') return speaker.say(this.filled(text))
    if (sign === '*') return this.ask(speaker, this.filled(text), this.filled(following.text))
    if (sign === '~') return this.takeAll(speaker, group.map((one) => this.filled(one.text)))
    assert.equal(await speaker.next(), this.filled(text))
  }

  /** Asks again until the answer is this one. */
  async ask (speaker, question, answer) {
    await until(`${question} is answered ${answer}`, async () => {
      speaker.say(question)
      const told = await speaker.next()
      assert.equal(subject(told), subject(answer), told)
      return told === answer
    })
  }

  /** Takes so many messages: of one thing in the order written, of different things in any. */
  async takeAll (speaker, expected) {
    while (expected.length > 0) {
      const told = await speaker.next()
      const at = expected.findIndex((text) => subject(text) === subject(told))
      assert.equal(told, expected[at] ?? `one of ${JSON.stringify(expected)}`)
      expected.splice(at, 1)
    }
  }

  /** Every line breaks at once; goes on when the server has seen it. */
  async cut () {
    const cut = [...this.speakers.values()]
    await this.silence(cut)
    for (const speaker of cut) speaker.socket.resetAndDestroy()
    this.speakers.clear()
    await this.server.atRest()
  }

  /** The server is killed once everything is stored, and started anew on the same port and storage. */
  async kill () {
    const lost = [...this.speakers.values()]
    await this.silence(lost)
    // Writes that nobody waits for are promised nothing, and the conversation goes on with them.
    await until('everything is stored', async () => (await this.server.census()).dirty_records === 0)
    await this.server.end('SIGKILL')
    for (const speaker of lost) {
      await until('its line is closed', () => speaker.ended)
      assert.deepEqual(speaker.received, [])
    }
    this.speakers.clear()
    await this.server.launch()
  }

  gone (speaker) {
    assert.deepEqual(speaker.received, [], 'told before it was closed')
    speaker.socket.destroy()
    this.speakers.delete(speaker.name)
  }

  /**
   * Holds the server to have nothing more to say to these. Each asks every shard for something that is not there: what a shard
   * had to say before it answers has arrived by then, and what one made another say, with the next round.
   */
  async silence (speakers) {
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(speakers.filter((speaker) => speaker.loggedIn && !speaker.ended).map(async (speaker) => {
        this.asked += 1
        const names = Array.from({ length: NAMES_OF_ALL }, (_, index) => `nothing/${this.asked}/${index}`)
        speaker.say(names.map((name) => `R|SN|${name}+`).join(''))
        const left = new Set(names.map((name) => `R|E|SN|${name}|RECORD_NOT_FOUND+`))
        while (left.size > 0) {
          const told = await speaker.next()
          assert.ok(left.delete(told), `${speaker.name} is told more than it should be: ${told}`)
        }
      }))
    }
    for (const speaker of speakers) assert.deepEqual(speaker.received, [], `${speaker.name} is told more than it should be`)
  }
}
