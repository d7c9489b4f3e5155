// The clients of mosquitto, as people use them in scripts.

import assert from 'node:assert/strict'
import { execFile, spawn, spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { mqttServer } from '../helpers/mqtt.mjs'
import { atEnd, unique, until, within } from '../helpers/until.mjs'

const run = promisify(execFile)
const installed = spawnSync('mosquitto_pub', ['--help']).error === undefined
const skip = installed ? false : 'mosquitto_pub is not installed (Debian: mosquitto-clients)'

/** mosquitto_sub; its lines are in `lines`. */
function listener (t, server, ...words) {
  // Its own buffering would keep the lines back.
  const child = spawn('stdbuf', ['-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', `${server.mqttPort}`, '-d', ...words])
  child.text = ''
  child.stdout.on('data', (chunk) => { child.text += chunk })
  child.stderr.on('data', (chunk) => { child.text += chunk })
  Object.defineProperty(child, 'lines', { get: () => child.text.split('\n').filter((line) => line !== '' && !/^(Client|Subscribed)/.test(line)) })
  child.gone = new Promise((resolve) => child.once('close', resolve))
  atEnd(t, () => { child.kill('SIGKILL') })
  return child
}
const subscribed = (child) => until('mosquitto_sub is subscribed', () => child.text.includes('Subscribed'))
const publish = (server, ...words) => within('mosquitto_pub', run('mosquitto_pub', ['-h', '127.0.0.1', '-p', `${server.mqttPort}`, ...words]))

describe('mosquitto clients', { skip }, () => {
  for (const version of ['311', '5', '31']) {
    for (const qos of ['0', '1', '2']) {
      test(`version ${version}, quality of service ${qos}`, async (t) => {
        const server = await mqttServer(t)
        const topic = unique('t')
        const child = listener(t, server, '-V', version, '-q', qos, '-t', topic, '-v')
        await subscribed(child)
        await publish(server, '-V', version, '-q', qos, '-t', topic, '-m', 'hello')
        await publish(server, '-V', version, '-q', qos, '-t', topic, '-n')
        await until('both are heard', () => child.lines.length >= 2)
        assert.deepEqual(child.lines, [`${topic} hello`, `${topic} (null)`])
      })
    }
  }

  test('retained messages, and their removal', async (t) => {
    const server = await mqttServer(t)
    const topic = unique('t')
    await publish(server, '-q', '1', '-r', '-t', topic, '-m', 'online')
    const child = listener(t, server, '-t', topic, '-F', '%r %p', '-C', '1')
    await within('its end', child.gone)
    assert.deepEqual(child.lines, ['1 online'])
    await publish(server, '-q', '1', '-r', '-n', '-t', topic)
    const none = listener(t, server, '-t', topic, '-F', '%r %p')
    await subscribed(none)
    await publish(server, '-q', '1', '-t', topic, '-m', 'now')
    await until('one is heard', () => none.lines.length > 0)
    assert.deepEqual(none.lines, ['0 now'])
  })

  test('a last will of a client that is killed', async (t) => {
    const server = await mqttServer(t)
    const topic = unique('will')
    const watcher = listener(t, server, '-t', topic)
    await subscribed(watcher)
    const lost = listener(t, server, '-t', unique('t'), '--will-topic', topic, '--will-payload', 'gone', '--will-qos', '1')
    await subscribed(lost)
    lost.kill('SIGKILL')
    await until('it is heard', () => watcher.lines.length > 0)
    assert.deepEqual(watcher.lines, ['gone'])
  })

  test('a wrong password ends with its code', async (t) => {
    const users = { ann: { password: 'secret' } }
    const server = await mqttServer(t, { extra: { auth: [{ type: 'file', options: { users } }] } })
    await assert.rejects(publish(server, '-u', 'ann', '-P', 'no', '-t', 't', '-m', 'x'), (error) => error.code === 5 && /not authori[sz]ed/i.test(error.stderr))
    await publish(server, '-u', 'ann', '-P', 'secret', '-q', '1', '-t', 't', '-m', 'x')
  })

  test('a thousand lines in one connection', async (t) => {
    const server = await mqttServer(t)
    const topic = unique('t')
    const child = listener(t, server, '-q', '1', '-t', topic)
    await subscribed(child)
    const writer = spawn('mosquitto_pub', ['-h', '127.0.0.1', '-p', `${server.mqttPort}`, '-q', '1', '-t', topic, '-l'])
    atEnd(t, () => writer.kill('SIGKILL'))
    writer.stdin.end(Array.from({ length: 1000 }, (_, index) => `${index}\n`).join(''))
    await until('all are heard', () => child.lines.length >= 1000)
    assert.deepEqual(child.lines, [...Array(1000).keys()].map(String))
  })
})
