// Protected mode: a server without authentication, and a client on another machine, which is a network namespace made
// by this test, connected by a virtual cable.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Raw } from '../helpers/raw.mjs'
import { freePort } from '../helpers/ports.mjs'
import { configuration, Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'

const run = promisify(execFile)
const here = path.dirname(fileURLToPath(import.meta.url))
const NAME = `ds${process.pid}`
const [OURS, THEIRS] = ['10.213.77.1', '10.213.77.2']

before(async () => {
  const ip = (...words) => run('ip', words)
  await ip('netns', 'add', NAME)
  await ip('link', 'add', `${NAME}a`, 'type', 'veth', 'peer', 'name', `${NAME}b`, 'netns', NAME)
  await ip('addr', 'add', `${OURS}/30`, 'dev', `${NAME}a`)
  await ip('link', 'set', `${NAME}a`, 'up')
  await ip('-n', NAME, 'addr', 'add', `${THEIRS}/30`, 'dev', `${NAME}b`)
  await ip('-n', NAME, 'link', 'set', `${NAME}b`, 'up')
})
after(async () => {
  await run('ip', ['link', 'del', `${NAME}a`]).catch(() => {})
  await run('ip', ['netns', 'del', NAME]).catch(() => {})
})

/** What a program on the other machine says to bytes it sends: the answer, or nothing if there is none. */
const REMOTE = `
const [host, port, hex] = process.argv.slice(1)
const socket = require('node:net').connect(Number(port), host, () => socket.write(Buffer.from(hex, 'hex')))
const heard = []
const end = () => { process.stdout.write(Buffer.concat(heard).toString('hex')); process.exit(0) }
socket.on('data', (data) => { heard.push(data); end() })
socket.on('close', end)
socket.on('error', end)
`

async function remote (port, bytes) {
  const hex = Buffer.from(bytes).toString('hex')
  const { stdout } = await run('ip', ['netns', 'exec', NAME, process.execPath, '-e', REMOTE, OURS, String(port), hex], { timeout: 15000 })
  return Buffer.from(stdout, 'hex')
}

const head = (lines) => [...lines, 'Host: server.example', '', ''].join('\r\n')
const UPGRADE = head(['GET /deepstream HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='])
const HEALTH = head(['GET /health-check HTTP/1.1'])
const BODY = '{"body":[{"topic":"event","action":"emit","eventName":"e"}]}'
const POST = (more = []) => head(['POST /api HTTP/1.1', 'Content-Type: application/json', `Content-Length: ${BODY.length}`, ...more]) + BODY
const connect = (version) => Buffer.from([0x10, version === 5 ? 13 : 12, 0, 4, ...Buffer.from('MQTT'), version, 2, 0, 60, ...(version === 5 ? [0] : []), 0, 0])

const status = async (port, bytes) => Number(/^HTTP\/1\.1 (\d+)/.exec((await remote(port, bytes)).toString())?.[1])

/** A server on all addresses, of which nobody said that it is to be reached by others. */
async function unsaid (t, { http = {}, mqtt = {}, environment = {}, flags = [], ...options } = {}) {
  const mqttPort = await freePort()
  const server = await Server.prepare({ memory: true, http: { host: undefined, ...http }, mqtt: { host: undefined, port: mqttPort, ...mqtt }, environment, ...options })
  server.arguments = flags
  server.mqttPort = mqttPort
  atEnd(t, () => server.discard())
  await server.launch()
  return server
}

describe('while everybody could do everything', () => {
  test('other machines are refused in words, on every port, and this one is served', async (t) => {
    const server = await unsaid(t)
    assert.match(server.log, /PROTECTED_MODE \| nobody has to log in, and everybody may do everything: connections to 0\.0\.0\.0:\d+ from other machines are refused\. To let others in configure auth and permission; or, if that is meant, write httpServer\.options\.host or httpServer\.options\.protectedMode: false, or start with --no-protected-mode or DEEPSTREAM_PROTECTED_MODE=false/)
    for (const request of [UPGRADE, HEALTH, POST(), POST(['X-Forwarded-For: 127.0.0.1']), head(['GET /nowhere HTTP/1.1']), head(['DELETE / HTTP/1.1'])]) {
      const answer = (await remote(server.port, request)).toString()
      assert.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n/, request)
      assert.match(answer, /This server is in protected mode: nobody has to log in, or everybody may do everything/)
    }
    const five = await remote(server.mqttPort, connect(5))
    assert.deepEqual([...five.subarray(0, 1)], [0x20])
    assert.equal(five.includes('This server is in protected mode'), true, five.toString())
    assert.equal(five[five.indexOf(0x87)], 0x87, 'not authorized')
    assert.deepEqual([...await remote(server.mqttPort, connect(4))], [0x20, 2, 0, 5])
    await until('the log says it', () => server.log.includes(`CONNECTION_REFUSED | a connection from another machine was not let in; address ${THEIRS}, key httpServer.options.protectedMode: This server is in protected mode`))
    await Raw.login(t, server)
    assert.equal(await server.health(), 200)
  })

  test('the shipped configuration is not open, and serves its own machine', async (t) => {
    const conf = path.join(here, '../../../conf')
    const server = await Server.prepare({ text: await readFile(path.join(conf, 'config.yml'), 'utf8') })
    atEnd(t, () => server.discard())
    await copyFile(path.join(conf, 'permissions.yml'), path.join(server.directory, 'permissions.yml'))
    server.arguments = ['--port', String(server.port), '--memory', '--shards', '1']
    await server.launch()
    assert.equal(await status(server.port, POST()), 403)
    await Raw.login(t, server)
    assert.match(server.log, /PROTECTED_MODE \| nobody has to log in, and everybody may do everything/)
  })

  test('it is enough to say that it is meant', async (t) => {
    for (const [title, options] of Object.entries({
      'a host': { http: { host: '0.0.0.0' }, mqtt: { host: '0.0.0.0' } },
      'a key': { http: { protectedMode: false } },
      'the environment': { environment: { DEEPSTREAM_PROTECTED_MODE: 'false' } },
      'a flag': { flags: ['--no-protected-mode'] }
    })) {
      const server = await unsaid(t, options)
      assert.equal(await status(server.port, UPGRADE), 101, title)
      assert.equal(await status(server.port, POST()), 200, title)
      assert.deepEqual([...await remote(server.mqttPort, connect(4))], [0x20, 2, 0, 0], title)
      assert.match(server.log, /PROTECTED_MODE \| .*: whoever reaches 0\.0\.0\.0:\d+ is served, because that is configured/, title)
    }
  })

  test('a host is meant for its own port', async (t) => {
    const server = await unsaid(t, { mqtt: { host: '0.0.0.0' } })
    assert.equal(await status(server.port, UPGRADE), 403)
    assert.deepEqual([...await remote(server.mqttPort, connect(4))], [0x20, 2, 0, 0])
  })

  test('an environment that says neither stops the start', async (t) => {
    const server = await Server.prepare({ memory: true, environment: { DEEPSTREAM_PROTECTED_MODE: 'maybe' } })
    atEnd(t, () => server.discard())
    server.spawn()
    server.expectExit = true
    assert.equal((await within('the end', server.exited)).code, 78)
    assert.match(server.log, /the environment variable DEEPSTREAM_PROTECTED_MODE is "maybe", where it is true or false/)
  })
})

describe('once it is known who may do what', () => {
  const users = [{ type: 'file', options: { users: { ann: { password: 'secret' } } } }]
  const rights = (read) => ({ type: 'config', options: { permissions: { record: { '*': { read, create: true, write: true, delete: true, listen: true, notify: true } }, event: { '*': { publish: false, subscribe: false, listen: false } }, rpc: { '*': { provide: false, request: false } }, presence: { '*': { allow: false } } } } })

  test('other machines are served, from the moment on it is', async (t) => {
    const server = await unsaid(t)
    assert.equal(await status(server.port, UPGRADE), 403)
    const config = configuration({ port: server.port, memory: true, http: { host: undefined }, mqtt: { host: undefined, port: server.mqttPort } })
    const put = async (auth, permission, count) => {
      await writeFile(server.config, JSON.stringify({ ...config, auth, permission }))
      server.child.kill('SIGHUP')
      await until('it was read again', () => server.log.split('the configuration was read again').length > count)
    }
    await put(users, rights("user.id === 'ann'"), 1)
    assert.equal(await status(server.port, UPGRADE), 101)
    await put(users, { type: 'none' }, 2)
    assert.equal(await status(server.port, UPGRADE), 403, 'everybody who is logged in may do everything')
    await put([{ type: 'none' }], rights("user.id === 'ann'"), 3)
    assert.equal(await status(server.port, UPGRADE), 403, 'nobody has to log in')
  })
})
