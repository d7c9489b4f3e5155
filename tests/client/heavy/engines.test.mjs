// Databases and busses of other people as scripts start them: they obey, and outlive no test.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { spawn } from 'node:child_process'
import net from 'node:net'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { Engine } from '../helpers/engines.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'

/** What Redis says to one line. */
async function ask (port, line) {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write(`${line}\r\n`)
    const [answer] = await within('an answer', once(socket, 'data'))
    return answer.toString()
  } finally {
    socket.destroy()
  }
}

test('an engine is killed, ended, frozen and started again, and forgets nothing', async (t) => {
  const redis = await Engine.start('redis', { settings: { appendonly: 'yes', appendfsync: 'always' } })
  atEnd(t, () => redis.discard())
  assert.equal(await ask(redis.port, 'SET key value'), '+OK\r\n')
  for (const stop of ['kill', 'end']) {
    await redis[stop]()
    await assert.rejects(ask(redis.port, 'PING'), /ECONNREFUSED/)
    await redis.launch('redis')
    assert.equal(await ask(redis.port, 'GET key'), '$5\r\nvalue\r\n')
  }
  await redis.freeze()
  let answered = false
  const answer = ask(redis.port, 'PING').then((line) => { answered = true; return line })
  await redis.freeze()
  assert.equal(answered, false)
  await redis.thaw()
  assert.equal(await answer, '+PONG\r\n')
  await assert.rejects(redis.kill('nobody'), /redis has no process nobody/)
  await redis.discard()
  assert.equal(existsSync(redis.directory), false)
})

test('what cannot be started says why', async () => {
  await assert.rejects(Engine.start('mysql'), /there is no engine mysql/)
  await assert.rejects(Engine.start('redis', { settings: { appendonly: 'perhaps' } }), /argument must be 'yes' or 'no'/)
})

test('nothing is left of an engine when the test that started it is killed', async () => {
  const helper = new URL('../helpers/engines.mjs', import.meta.url).href
  const script = `import { Engine } from '${helper}'; const engine = await Engine.start('redis'); console.log(engine.directory); process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await within('its directory', once(child.stdout, 'data'))
  const directory = line.toString().trim()
  assert.ok(existsSync(directory))
  child.kill('SIGKILL')
  await until('its files are gone', () => !existsSync(path.dirname(directory)))
})
