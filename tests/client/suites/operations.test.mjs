// What an operator meets: bad configuration, a taken port, somebody else's directory, an unprivileged
// user, signals, a disk that is full.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { freePort } from '../helpers/ports.mjs'
import { BINARY, REFERENCE, SHARDS, Server, configuration, serverFor, workspace } from '../helpers/server.mjs'
import { atEnd, until, unique, within } from '../helpers/until.mjs'
import { EVENT, RECORD } from '../helpers/wire.mjs'

const skip = REFERENCE
const ROOT = process.getuid() === 0

async function scratch (t) {
  const directory = await workspace()
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Runs the binary to its end; for starts that must fail. */
function run (directory, ...rest) {
  const { status, signal, stdout, stderr } = spawnSync(BINARY, rest, { cwd: directory, encoding: 'utf8', timeout: 20000 })
  return { status, signal, text: stdout + stderr }
}

/** Starts with this configuration text and expects a refusal; answers what was said. */
async function refused (t, text, file = 'config.yml') {
  const directory = await scratch(t)
  const config = path.join(directory, file)
  writeFileSync(config, text)
  const answer = run(directory, 'start', '-c', config)
  assert.ok(answer.status > 0, `it did not refuse: ${JSON.stringify(answer)}`)
  assert.doesNotMatch(answer.text, /panicked|RUST_BACKTRACE/)
  return answer
}

describe('configuration that cannot be used', { skip }, () => {
  const valid = (port) => JSON.stringify(configuration({ port, data: 'data' }))

  test('a file that is not there', async (t) => {
    const directory = await scratch(t)
    const answer = run(directory, 'start', '-c', 'nowhere.yml')
    assert.equal(answer.status, 78)
    assert.match(answer.text, /nowhere\.yml/)
  })

  test('a file that cannot be read', { skip: skip || ROOT }, async (t) => {
    const directory = await scratch(t)
    const config = path.join(directory, 'config.yml')
    writeFileSync(config, valid(6020))
    chmodSync(config, 0)
    assert.equal(run(directory, 'start', '-c', config).status, 78)
  })

  test('a directory instead of a file', async (t) => {
    const directory = await scratch(t)
    assert.equal(run(directory, 'start', '-c', directory).status, 78)
  })

  test('text that is not YAML is refused with its line', async (t) => {
    const { status, text } = await refused(t, 'httpServer:\n  options:\n   port: 1\n  bad: [\n')
    assert.equal(status, 78)
    assert.match(text, /config\.yml:\d+/)
  })

  test('bytes that are not text', async (t) => {
    const { status } = await refused(t, Buffer.from([0xff, 0xfe, 0x00, 0x01, 0x80]))
    assert.equal(status, 78)
  })

  test('an unknown key is refused with its line and a suggestion', async (t) => {
    const { status, text } = await refused(t, 'logLevel: 1\nhttpServer:\n  type: default\n  options:\n    prot: 6020\n')
    assert.equal(status, 78)
    assert.match(text, /config\.yml:5/)
    assert.match(text, /httpServer\.options\.prot/)
    assert.match(text, /\bport\b/)
  })

  test('several mistakes are all told at once, each with its line', async (t) => {
    const { text } = await refused(t, 'logLevl: 1\nhttpServer:\n  options:\n    port: many\ncores:\n  count: 0\n')
    for (const line of [1, 4, 6]) assert.match(text, new RegExp(`config\\.yml:${line}\\b`))
  })

  for (const [what, text, line] of [
    ['a port that is a word', 'httpServer:\n  options:\n    port: "many"\n', 3],
    ['a port out of range', 'httpServer:\n  options:\n    port: 70000\n', 3],
    ['a log level that does not exist', 'logLevel: 9\n', 1],
    ['users from a file', 'auth:\n  - type: file\n    options:\n      users: users.yml\n', 4],
    ['permission rules that are not there', 'logLevel: 1\npermission:\n  type: config\n', 2],
    ['a permission rule that is none', "permission:\n  type: config\n  options:\n    permissions:\n      record:\n        '*': {read: 'alert(1)'}\n      event: {'*': {}}\n      rpc: {'*': {}}\n      presence: {'*': {}}\n", 6],
    ['a connector', 'cache:\n  name: memcached\n', 2],
    ['overlapping CPUs', 'cores:\n  shards: "0"\n  services: "0"\n', undefined],
    ['a durability that does not exist', 'storage:\n  type: default\n  options:\n    durability: sometimes\n', 4]
  ]) {
    test(`${what} is refused in a plain sentence`, async (t) => {
      const { status, text: said } = await refused(t, text)
      assert.equal(status, 78)
      assert.match(said, line ? new RegExp(`config\\.yml:${line}\\b`) : /config\.yml/)
    })
  }

  test('an unknown flag and an unknown command are refused', async (t) => {
    const directory = await scratch(t)
    for (const rest of [['start', '--nope'], ['dance']]) {
      const { status, text } = run(directory, ...rest)
      assert.ok(status > 0 && text.length > 0, `${rest}: ${status} ${text}`)
    }
  })
})

describe('starting', { skip }, () => {
  test('--port wins over the file, and environment variables are put in', async (t) => {
    const port = await freePort()
    const directory = await scratch(t)
    const body = JSON.stringify({ ...configuration({ port: 1, data: '${DATA_HERE}' }) })
    const config = path.join(directory, 'config.yml')
    writeFileSync(config, body)
    const server = new Server({ directory, port, config, environment: { DATA_HERE: path.join(directory, 'from-environment') } })
    server.arguments = ['--port', String(port)]
    await server.launch()
    atEnd(t, () => server.discard())
    assert.equal(await server.health(), 200)
    assert.ok(existsSync(path.join(directory, 'from-environment')))
  })

  test('where every shard runs is logged', async (t) => {
    const server = await serverFor(t)
    for (let shard = 0; shard < SHARDS; shard++) assert.match(server.log, new RegExp(`shard ${shard}\\b`, 'i'))
  })

  test('a port that is taken is refused, by another server of ours as well', async (t) => {
    const server = await serverFor(t)
    const second = await Server.prepare({ port: server.port })
    atEnd(t, () => second.discard())
    const { status, text } = run(second.directory, 'start', '-c', second.config)
    assert.ok(status > 0, text)
    assert.match(text, new RegExp(String(server.port)))
    assert.match(text, /in use/i)
    assert.equal(await server.health(), 200)
  })

  test('an address this machine does not have is refused', async (t) => {
    const server = await Server.prepare({ http: { host: '203.0.113.7' } })
    atEnd(t, () => server.discard())
    const { status, text } = run(server.directory, 'start', '-c', server.config)
    assert.ok(status > 0, text)
    assert.match(text, /203\.0\.113\.7/)
  })

  test('an unprivileged user under default limits is served', { skip: skip || !ROOT }, async (t) => {
    const directory = await scratch(t)
    const binary = path.join(directory, 'deepstream')
    copyFileSync(BINARY, binary)
    chmodSync(binary, 0o755)
    chmodSync(directory, 0o755)
    const port = await freePort()
    const home = path.join(directory, 'home')
    mkdirSync(home)
    chownSync(home, 65534, 65534)
    const config = path.join(directory, 'config.yml')
    writeFileSync(config, JSON.stringify(configuration({ port, data: path.join(home, 'data') })))
    const wrap = ['prlimit', '--memlock=8388608:8388608', '--nofile=1024:20000', 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs']
    const server = new Server({ directory, port, config, command: binary, wrap })
    await server.launch()
    atEnd(t, () => server.discard())
    const raw = await Raw.login(t, server)
    const name = unique('unprivileged')
    raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}', isWriteAck: true, correlationId: '1' })
    assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    const limits = readFileSync(`/proc/${server.pid}/limits`, 'utf8')
    assert.match(limits, /Max open files\s+20000\s+20000/, 'the soft limit was raised to the hard one')
    assert.match(readFileSync(`/proc/${server.pid}/status`, 'utf8'), /^Uid:\s+65534/m)
  })

  test('without any locked memory it serves, or says what is missing and how to get it', { skip: skip || !ROOT }, async (t) => {
    const directory = await scratch(t)
    const binary = path.join(directory, 'deepstream')
    copyFileSync(BINARY, binary)
    chmodSync(directory, 0o777)
    const port = await freePort()
    const config = path.join(directory, 'config.yml')
    writeFileSync(config, JSON.stringify(configuration({ port, data: path.join(directory, 'data') })))
    const server = new Server({ directory, port, config, command: binary, wrap: ['prlimit', '--memlock=0:0', 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] })
    atEnd(t, () => server.discard())
    server.spawn()
    let exit
    server.exited.then((value) => { exit = value })
    server.expectExit = true
    await until('it serves or says why not', async () => exit || await server.health() === 200)
    if (!exit) return t.diagnostic('this kernel asks for no locked memory')
    assert.ok(exit.code > 0 && exit.code !== 1 && exit.code !== 78 && exit.code !== 101, `exit code ${exit.code}\n${server.log}`)
    assert.match(server.log, /memlock/i)
  })
})

describe('stopping', { skip }, () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} closes the clients, keeps the records and exits 0`, async (t) => {
      const server = await serverFor(t)
      const [one, idle] = [await Raw.login(t, server), await Raw.open(server)]
      const name = unique('stopped')
      one.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: '{"a":1}' })
      one.record(RECORD.READ, { name })
      await one.next({ action: RECORD.READ_RESPONSE })
      const exit = await server.end(signal)
      assert.deepEqual(exit, { code: 0, signal: null }, server.log)
      for (const raw of [one, idle]) assert.notEqual((await within('the close', raw.closed)).code, 1006, 'a close frame was sent')
      await server.launch()
      const again = await Raw.login(t, server)
      again.record(RECORD.READ, { name })
      assertFields(await again.take(), { action: RECORD.READ_RESPONSE, data: '{"a":1}', version: 1 })
    })
  }

  test('a client that never reads does not keep a stopping server from its end', async (t) => {
    const server = await serverFor(t, { limits: { drainTimeoutMs: 1000 } })
    const [stuck, publisher] = [await Raw.login(t, server), await Raw.login(t, server)]
    stuck.event(EVENT.SUBSCRIBE, { names: ['flood'], correlationId: '0' })
    await stuck.take()
    stuck.socket.pause()
    for (let index = 0; index < 100; index++) publisher.event(EVENT.EMIT, { name: 'flood', data: JSON.stringify('x'.repeat(100_000)) })
    await publisher.untilPong()
    const { code } = await server.end('SIGTERM', 10000)
    assert.equal(code, 0)
  })
})

describe('the data directory', { skip }, () => {
  /** A stopped server with some records in its directory. */
  async function filled (t) {
    const server = await serverFor(t)
    const raw = await Raw.login(t, server)
    for (let index = 0; index < 50; index++) {
      raw.record(RECORD.CREATEANDUPDATE, { name: `kept/${index}`, version: -1, data: JSON.stringify({ index, text: 'x'.repeat(500) }), isWriteAck: true, correlationId: String(index) })
      await raw.next({ correlationId: String(index) })
    }
    await server.end('SIGTERM')
    return server
  }

  const files = (directory) => readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))

  const start = (server) => run(server.directory, 'start', '-c', server.config)

  test('one that holds something else is refused and left as it is', async (t) => {
    const server = await Server.prepare()
    atEnd(t, () => server.discard())
    mkdirSync(server.data)
    writeFileSync(path.join(server.data, 'holiday.jpg'), 'not ours')
    const { status, text } = start(server)
    assert.ok(status > 0, text)
    assert.ok(text.includes(server.data), text)
    assert.deepEqual(readdirSync(server.data), ['holiday.jpg'])
  })

  test('one that another server uses is refused', async (t) => {
    const server = await serverFor(t)
    const second = await Server.prepare({ data: server.data })
    atEnd(t, () => second.discard())
    const { status, text } = start(second)
    assert.ok(status > 0, text)
    assert.ok(text.includes(server.data), text)
    assert.match(text, /use/i)
    assert.equal(await server.health(), 200)
  })

  test('one of a later format is refused with both formats in the message', async (t) => {
    const server = await filled(t)
    const marker = files(server.data).find((file) => path.dirname(file) === server.data && /format \d+/.test(readFileSync(file, 'latin1')))
    assert.ok(marker, 'the format stands in a file that can be read')
    writeFileSync(marker, readFileSync(marker, 'latin1').replace(/format \d+/, 'format 999'))
    const { status, text } = start(server)
    assert.ok(status > 0, text)
    assert.match(text, /999/)
  })

  test('one whose marker is damaged is refused', async (t) => {
    const server = await filled(t)
    const marker = files(server.data).find((file) => path.dirname(file) === server.data && /format \d+/.test(readFileSync(file, 'latin1')))
    writeFileSync(marker, Buffer.alloc(30, 0xff))
    const { status, text } = start(server)
    assert.ok(status > 0, text)
    assert.ok(text.includes(server.data), text)
  })

  test('one whose database is overwritten with nonsense is refused', async (t) => {
    const server = await filled(t)
    for (const file of files(server.data).filter((name) => path.dirname(name) !== server.data && statSync(name).size > 0)) {
      writeFileSync(file, Buffer.alloc(Math.min(statSync(file).size, 65536), 0xa5))
    }
    const { status, signal, text } = start(server)
    assert.ok(status > 0 && !signal, `${status} ${signal} ${text}`)
    assert.ok(text.includes(server.data), text)
    assert.doesNotMatch(text, /panicked/)
  })

  test('one that may not be written is refused', { skip: skip || !ROOT }, async (t) => {
    const server = await Server.prepare({ data: '/proc/deepstream-data' })
    atEnd(t, () => server.discard())
    const { status, text } = start(server)
    assert.ok(status > 0, text)
    assert.match(text, /\/proc\/deepstream-data/)
  })

  test('memory-only operation writes nothing and forgets everything', async (t) => {
    const server = await serverFor(t, { memory: true })
    const raw = await Raw.login(t, server)
    raw.record(RECORD.CREATEANDUPDATE, { name: 'brief', version: -1, data: '{}', isWriteAck: true, correlationId: '1' })
    assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    assert.deepEqual(readdirSync(server.directory), ['config.yml'])
    await server.end('SIGTERM')
    await server.launch()
    const again = await Raw.login(t, server)
    again.record(RECORD.HEAD, { name: 'brief' })
    assertFields(await again.take(), { action: RECORD.HEAD_RESPONSE, version: -1 })
  })

  for (const durability of ['interval', 'none']) {
    test(`durability ${durability} acknowledges, and keeps everything over an orderly stop`, async (t) => {
      const server = await serverFor(t, { storage: { durability } })
      const raw = await Raw.login(t, server)
      for (let index = 0; index < 200; index++) raw.record(RECORD.CREATEANDUPDATE, { name: `kept/${index}`, version: -1, data: `{"n":${index}}`, isWriteAck: true, correlationId: String(index) })
      for (let index = 0; index < 200; index++) assertFields(await raw.take(), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
      await server.end('SIGTERM')
      await server.launch()
      const again = await Raw.login(t, server)
      for (let index = 0; index < 200; index++) {
        again.record(RECORD.READ, { name: `kept/${index}` })
        assertFields(await again.take(), { action: RECORD.READ_RESPONSE, version: 1, data: `{"n":${index}}` })
      }
    })
  }
})

/** A small file system of its own, or undefined where none may be mounted. */
function smallDisk (t, directory, size) {
  const mount = path.join(directory, 'disk')
  mkdirSync(mount)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', mount], { stdio: 'pipe' })
  } catch (error) {
    t.skip(`no file system can be mounted here: ${error.stderr}`)
    return undefined
  }
  atEnd(t, () => execFileSync('umount', ['-l', mount]))
  return mount
}

describe('a full disk', { skip }, () => {
  test('unacknowledged writes fail, acknowledged ones stay, and the server serves on', async (t) => {
    const directory = await scratch(t)
    const disk = smallDisk(t, directory, '160m')
    if (!disk) return
    const server = await serverFor(t, { data: path.join(disk, 'data'), extra: { record: { storageRetrievalTimeout: 2000 } } })
    const raw = await Raw.login(t, server)
    // Nothing that could be compressed or written over: the disk has to fill up.
    const text = (index) => createHash('sha512').update(String(index)).digest('hex').repeat(800)
    const acked = new Map()
    let refusals = 0
    for (let index = 0; index < 4000 && refusals < 5; index++) {
      const name = `disk/${index}`
      const value = `{"n":${index},"text":"${text(index)}"}`
      raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: value, isWriteAck: true, correlationId: String(index) })
      const answer = await raw.next({ correlationId: String(index) }, 30000)
      if (answer.action === RECORD.WRITE_ACKNOWLEDGEMENT) acked.set(name, index)
      else {
        assertFields(answer, { action: RECORD.RECORD_UPDATE_ERROR, isError: true, isWriteAck: true })
        refusals += 1
      }
    }
    assert.equal(refusals, 5, 'the disk became full')
    t.diagnostic(`${acked.size} names acknowledged before the disk was full`)

    // Reads, events and health go on.
    assert.equal(await server.health(), 200)
    const other = await Raw.login(t, server)
    other.event(EVENT.SUBSCRIBE, { names: ['alive'], correlationId: '0' })
    await other.take()
    raw.event(EVENT.EMIT, { name: 'alive', data: '1' })
    assertFields(await other.take(), { data: '1' })

    // What was acknowledged is on the disk: another server reads it from a copy on a larger one.
    await server.end('SIGKILL')
    const copy = path.join(directory, 'copy')
    execFileSync('cp', ['-a', path.join(disk, 'data'), copy])
    const survivor = await serverFor(t, { data: copy })
    const reader = await Raw.login(t, survivor)
    for (const [name, index] of acked) {
      reader.record(RECORD.READ, { name })
      const answer = await reader.next({ name }, 20000)
      assert.equal(answer.action, RECORD.READ_RESPONSE, name)
      const { n, text: found } = JSON.parse(answer.data)
      assert.ok(n === index && found === text(index), `${name}: ${index} was acknowledged, ${n} is there`)
    }
  })
})
