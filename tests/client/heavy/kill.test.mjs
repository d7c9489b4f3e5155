// kill -9 in the middle of a storm of acknowledged writes, again and again on one data directory:
// what was acknowledged is there afterwards, and nothing that is there was half-written.
//
// Every kind of record carries its own proof. `own`: one writer, the value names its version.
// `shared`: every writer counts in a key of its own, so the version is the sum of all keys.
// `pair`: one message writes two keys, which are always equal. `phoenix`: created and deleted in turn.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Raw } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { until } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

const ROUNDS = Number(process.env.DEEPSTREAM_KILL_ROUNDS ?? 20)
const SEED = Number(process.env.DEEPSTREAM_SEED ?? Date.now() % 2 ** 31)
const WRITERS = 6
const WINDOW = 16

/** mulberry32: small, seeded, good enough to pick moments. */
function random (seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const filler = (version) => 'abcdefgh'.repeat(1 + version % 40)

/** What is known about every record: what was acknowledged, and what was sent beyond that. */
class Book {
  constructor () {
    this.own = new Map()
    this.shared = new Map()
    this.pair = new Map()
    this.phoenix = new Map()
  }

  entry (kind, name, fresh) {
    if (!this[kind].has(name)) this[kind].set(name, fresh())
    return this[kind].get(name)
  }
}

const counter = () => ({ acked: 0, sent: 0 })

class Writer {
  constructor (index, raw, book, chance, onAck) {
    Object.assign(this, { index, raw, book, chance, onAck })
    this.waiting = new Map()
    this.serial = 0
    this.stopped = false
    raw.socket.on('message', () => this.pump())
  }

  send (action, fields, settle) {
    const correlationId = String(++this.serial)
    this.waiting.set(correlationId, settle)
    this.raw.record(action, { isWriteAck: true, correlationId, ...fields })
  }

  pump () {
    for (const message of this.raw.received.splice(0)) {
      const key = message.correlationId ?? `delete ${message.name}`
      const settle = this.waiting.get(key)
      assert.ok(settle && [RECORD.WRITE_ACKNOWLEDGEMENT, RECORD.DELETE_SUCCESS].includes(message.action), `unexpected ${JSON.stringify(message)}`)
      this.waiting.delete(key)
      settle()
      this.onAck()
    }
    while (!this.stopped && this.waiting.size < WINDOW) this.write()
  }

  write () {
    const pick = this.chance()
    const which = Math.floor(this.chance() * 12)
    if (pick < 0.45) this.writeOwn(`own/${this.index}/${which}`)
    else if (pick < 0.7) this.writeShared(`shared/${which % 3}`)
    else if (pick < 0.9) this.writePair(`pair/${this.index}/${which}`)
    else this.writePhoenix(`phoenix/${this.index}/${which}`)
  }

  writeOwn (name) {
    const entry = this.book.entry('own', name, counter)
    const version = ++entry.sent
    const action = version === 1 ? RECORD.CREATEANDUPDATE : RECORD.UPDATE
    this.send(action, { name, version, data: JSON.stringify({ n: version, filler: filler(version) }) }, () => { entry.acked = version })
  }

  writeShared (name) {
    const entry = this.book.entry('shared', name, () => Array.from({ length: WRITERS }, counter))[this.index]
    const value = ++entry.sent
    this.send(RECORD.CREATEANDPATCH, { name, version: -1, path: `w${this.index}`, data: String(value) }, () => { entry.acked = value })
  }

  writePair (name) {
    const entry = this.book.entry('pair', name, counter)
    const value = ++entry.sent
    const data = value === 1 ? '{"a":1,"b":1}' : JSON.stringify([{ path: 'a', data: value }, { path: 'b', data: value }])
    this.send(value === 1 ? RECORD.CREATEANDUPDATE : RECORD.PATCH_MULTI, { name, version: -1, data }, () => { entry.acked = value })
  }

  writePhoenix (name) {
    const entry = this.book.entry('phoenix', name, () => ({ acked: null, next: undefined, life: 0 }))
    if (entry.next !== undefined) return this.writeOwn(`own/${this.index}/0`)
    if (entry.acked === null) {
      entry.life += 1
      entry.next = entry.life
      this.send(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify({ life: entry.life }) }, () => {
        entry.acked = entry.next
        entry.next = undefined
      })
    } else {
      entry.next = null
      this.waiting.set(`delete ${name}`, () => {
        entry.acked = null
        entry.next = undefined
      })
      this.raw.record(RECORD.DELETE, { name })
    }
  }
}

async function read (raw, name) {
  raw.record(RECORD.READ, { name })
  const answer = await raw.next({ name })
  if (answer.action === RECORD.RECORD_NOT_FOUND) return { version: 0, data: {} }
  assert.equal(answer.action, RECORD.READ_RESPONSE, JSON.stringify(answer))
  return { version: answer.version, data: JSON.parse(answer.data) }
}

function between (what, acked, found, sent) {
  assert.ok(found >= acked, `${what}: ${acked} was acknowledged, ${found} is there`)
  assert.ok(found <= sent, `${what}: only ${sent} was sent, ${found} is there`)
}

/** Holds the server to the book, then makes the book say what the server has. */
async function verify (raw, book) {
  for (const [name, entry] of book.own) {
    const { version, data } = await read(raw, name)
    between(name, entry.acked, version, entry.sent)
    if (version > 0) assert.deepEqual(data, { n: version, filler: filler(version) }, name)
    entry.acked = entry.sent = version
  }
  for (const [name, writers] of book.shared) {
    const { version, data } = await read(raw, name)
    let sum = 0
    for (const [index, entry] of writers.entries()) {
      const value = data[`w${index}`] ?? 0
      between(`${name} w${index}`, entry.acked, value, entry.sent)
      entry.acked = entry.sent = value
      sum += value
    }
    assert.equal(version, sum, `${name}: the version counts the writes`)
  }
  for (const [name, entry] of book.pair) {
    const { version, data } = await read(raw, name)
    between(name, entry.acked, version, entry.sent)
    if (version > 0) assert.deepEqual(data, { a: version, b: version }, name)
    entry.acked = entry.sent = version
  }
  for (const [name, entry] of book.phoenix) {
    const { version, data } = await read(raw, name)
    const found = version === 0 ? null : data.life
    const allowed = entry.next === undefined ? [entry.acked] : [entry.acked, entry.next]
    assert.ok(allowed.includes(found), `${name}: ${found} is there, allowed are ${allowed}`)
    if (version > 0) assert.deepEqual([version, data], [1, { life: found }], name)
    entry.acked = found
    entry.next = undefined
  }
}

test(`what was acknowledged survives ${ROUNDS} rounds of kill -9`, async (t) => {
  t.diagnostic(`seed ${SEED} (repeat with DEEPSTREAM_SEED=${SEED})`)
  const chance = random(SEED)
  const server = await serverFor(t)
  const book = new Book()
  let total = 0
  for (let round = 1; round <= ROUNDS; round++) {
    let acks = 0
    const enough = 100 + Math.floor(chance() * 3000)
    const pause = Math.floor(chance() * 4)
    const raws = await Promise.all(Array.from({ length: WRITERS }, () => Raw.login(t, server)))
    const writers = raws.map((raw, index) => new Writer(index, raw, book, chance, () => {
      acks += 1
      // The kill comes from within the stream of acks, a few turns of the event loop after the chosen one.
      if (acks === enough) later(pause, () => server.child.kill('SIGKILL'))
    }))
    server.expectExit = true
    writers.forEach((writer) => writer.pump())
    const exit = await server.exited
    assert.equal(exit.signal, 'SIGKILL', `the server ended by itself: ${JSON.stringify(exit)}\n${server.log}`)
    await until('all connections have ended', () => raws.every((raw) => raw.ended))
    writers.forEach((writer) => {
      writer.stopped = true
      writer.pump()
    })
    server.forget()
    total += acks
    await server.launch()
    await verify(await Raw.login(t, server), book)
  }
  t.diagnostic(`${total} acknowledged writes over ${ROUNDS} kills, all found again`)
  assert.deepEqual(await server.end('SIGTERM'), { code: 0, signal: null })
  await server.launch()
  await verify(await Raw.login(t, server), book)
})

function later (turns, action) {
  if (turns === 0) action()
  else setImmediate(() => later(turns - 1, action))
}
