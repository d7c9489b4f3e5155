// Tapes: what came into every shard of a real server under real clients, played again by `sim --replay`.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { loggedIn, ready, untilData, user } from '../helpers/clients.mjs'
import { batch } from '../helpers/http.mjs'
import { oldLoggedIn } from '../helpers/old-clients.mjs'
import { BINARY, REFERENCE, SHARDS, Server } from '../helpers/server.mjs'
import { atEnd, unique, until, within } from '../helpers/until.mjs'

const skip = REFERENCE
const SIM = process.env.DEEPSTREAM_SIM ?? path.join(path.dirname(BINARY), '../checked/sim')
/** Names enough that every shard owns some. */
const NAMES = Array.from({ length: 16 }, (_, number) => `tape/${number}`)
const OPEN = {
  record: { '*': { create: true, read: true, write: true, delete: true, listen: true, notify: true } },
  event: { '*': { publish: true, subscribe: true, listen: true } },
  rpc: { '*': { provide: true, request: true } },
  presence: { '*': { allow: true } }
}

async function taped (t, options = {}, tapes) {
  const server = await Server.prepare(options)
  server.tapes = tapes ?? path.join(server.directory, 'tapes')
  server.arguments = ['--tape', server.tapes]
  atEnd(t, () => server.discard())
  await server.launch()
  return server
}

const tapesOf = (server) => readdirSync(server.tapes).sort().map((name) => path.join(server.tapes, name))

/** What `sim --replay` says, and its exit code. */
async function replay (tape) {
  const run = promisify(execFile)(SIM, ['--replay', tape], { timeout: 60000 })
  return run.then(({ stdout }) => ({ code: 0, text: stdout }), ({ code, stderr, message }) => ({ code, text: stderr || message }))
}

async function assertPlays (server, end) {
  const tapes = tapesOf(server)
  assert.equal(tapes.length, SHARDS, `one tape for each shard: ${tapes}`)
  for (const [shard, tape] of tapes.entries()) {
    const { code, text } = await replay(tape)
    assert.equal(code, 0, text)
    assert.match(text, new RegExp(`shard ${shard} of ${SHARDS}, written by \\d+.*: \\d+ inputs in .* s, no difference${end}\\s*$`), text)
    const inputs = Number(/(\d+) inputs/.exec(text)[1])
    assert.ok(inputs > 50, `little was written: ${text}`)
  }
}

/** A client whose server ends first. */
function outlives (client) {
  client.mayFail = true
}

/** Something of everything, by clients of all kinds. */
async function live (t, server) {
  const people = []
  for (const name of ['ann', 'bob', 'eve', 'dan', 'zoe', 'kim']) people.push(await user(t, server, name))
  people.forEach(outlives)
  const [ann, bob, eve] = people
  const seen = []
  ann.presence.subscribe((name, online) => seen.push(`${name} ${online}`))
  bob.record.listen('^tape/.*', (name, response) => response.accept())
  bob.event.listen('^tape/.*', (name, response) => response.accept())
  const sums = NAMES.map((name) => `sum/${name}`)
  sums.forEach((name) => eve.rpc.provide(name, ({ a, b }, response) => response.send(a + b)))
  const events = []
  NAMES.forEach((name) => ann.event.subscribe(name, (data) => events.push(data)))
  for (const [index, name] of NAMES.entries()) {
    const [one, two] = [await ready(ann, name), await ready(bob, name)]
    await within('a write', one.setWithAck({ index, list: [1, 2, 3], text: 'ü'.repeat(index) }))
    // Who writes by an older version than there is would be told so, instead of that it is written.
    await untilData(two, { index, list: [1, 2, 3], text: 'ü'.repeat(index) })
    await within('a patch', two.setWithAck('list[1]', 'two'))
    await untilData(one, { index, list: [1, 'two', 3], text: 'ü'.repeat(index) })
    await until(`${name} is provided`, () => one.hasProvider)
  }
  await until('every event arrives', () => {
    NAMES.forEach((name) => eve.event.emit(name, { of: name }))
    return events.length >= NAMES.length
  })
  for (const name of sums) assert.equal(await within('a call', ann.rpc.make(name, { a: 2, b: 3 })), 5)
  const old = await oldLoggedIn(t, server, {}, { username: 'old' })
  await until('who came is seen', () => seen.includes('old true'))
  old.close()
  await until('who went is seen', () => seen.includes('old false'))
  const answer = await batch(server, [
    { topic: 'record', action: 'read', recordName: NAMES[0] },
    { topic: 'rpc', action: 'make', rpcName: sums[1], data: { a: 1, b: 1 } },
    { topic: 'presence', action: 'query' }
  ])
  assert.equal(answer.result, 'SUCCESS', JSON.stringify(answer))
  await within('a deletion', (await ready(ann, NAMES[3])).delete())
  eve.close()
}

describe('tapes', { skip }, () => {
  test('every shard does the same again, with storage and rules that change', async (t) => {
    const server = await taped(t, { extra: { permission: { type: 'config', options: { permissions: OPEN } } } })
    await live(t, server)
    const config = JSON.parse(readFileSync(server.config, 'utf8'))
    config.permission.options.permissions.event['tape/*'] = { publish: "user.id !== 'kim' && data.of.length > 2", subscribe: true }
    writeFileSync(server.config, JSON.stringify(config))
    server.child.kill('SIGHUP')
    const kim = await user(t, server, 'kim')
    outlives(kim)
    await until('the new rules are in force', () => {
      kim.event.emit(NAMES[5], { of: 'kim' })
      return kim.errors.length > 0
    })
    const { code } = await server.end()
    assert.equal(code, 0)
    await assertPlays(server, '')
  })

  test('what was written before a server is killed can be played', async (t) => {
    const server = await taped(t, { memory: true })
    await live(t, server)
    await server.end('SIGKILL')
    await assertPlays(server, '; cut off, what followed the last input was not compared')
  })

  test('a changed byte, and a file that is none, are refused in words', async (t) => {
    const server = await taped(t, { memory: true })
    const client = await loggedIn(t, server)
    outlives(client)
    await within('a write', (await ready(client, unique('one'))).setWithAck({ a: 1 }))
    await server.end()
    const [tape] = tapesOf(server)
    const bytes = readFileSync(tape)
    bytes[bytes.length >> 1] ^= 4
    writeFileSync(tape, bytes)
    const damaged = await replay(tape)
    assert.equal(damaged.code, 1)
    assert.match(damaged.text, /is damaged after \d+ inputs/)
    const other = await replay(server.config)
    assert.equal(other.code, 1)
    assert.match(other.text, /config\.yml is no tape/)
    assert.match((await replay(path.join(server.tapes, 'none'))).text, /cannot be opened: No such file/)
  })

  test('nobody else may read a tape, and none is written over', async (t) => {
    const server = await taped(t, { memory: true })
    const first = tapesOf(server)
    first.forEach((tape) => assert.equal(statSync(tape).mode & 0o777, 0o600))
    const inode = statSync(first[0]).ino
    await taped(t, { memory: true }, server.tapes)
    assert.equal(tapesOf(server).length, SHARDS * 2)
    assert.equal(statSync(first[0]).ino, inode)
  })

  test('a directory that cannot be had keeps the server from starting', async (t) => {
    const server = await Server.prepare({ memory: true })
    atEnd(t, () => server.discard())
    server.arguments = ['--tape', path.join(server.config, 'tapes')]
    server.spawn()
    server.expectExit = true
    const { code } = await within('the server to give up', server.exited)
    assert.equal(code, 1)
    assert.match(server.log, /--tape .*config\.yml\/tapes: Not a directory/)
  })
})
