// No client learns names that rules deny to it: through broad listen patterns, with both generations of the official
// client and in bytes, also when rules change while a listener provides; nor users, when it asks for the presence of
// all.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { user } from '../helpers/clients.mjs'
import { oldLoggedIn } from '../helpers/old-clients.mjs'
import { Raw } from '../helpers/raw.mjs'
import { Server, serverFor } from '../helpers/server.mjs'
import { atEnd, until } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const OPEN = {
  record: { '*': { create: true, read: true, write: true, delete: true, listen: true, notify: true } },
  event: { '*': { publish: true, subscribe: true, listen: true } },
  rpc: { '*': { provide: true, request: true } },
  presence: { '*': { allow: true } }
}

/** Everything is allowed, but for listening what these paths say. */
function rules (listen) {
  const paths = Object.entries(listen).map(([name, rule]) => [name, { listen: rule }])
  const section = (open) => ({ ...open, ...Object.fromEntries(paths) })
  return { ...OPEN, record: section(OPEN.record), event: section(OPEN.event) }
}

const permission = (permissions) => ({ permission: { type: 'config', options: { permissions } } })
const SECRET = rules({ 'secret/*': "user.id === 'boss'", 'asked/$user': "_('may/' + $user).listen" })

/** Names of every shard, open ones and secret ones. */
const OPEN_NAMES = Array.from({ length: 8 }, (_, number) => `open/${number}`)
const SECRETS = Array.from({ length: 8 }, (_, number) => `secret/patient-${number}`)
const sorted = (list) => [...list].sort()

function subscribe (client, topic, names) {
  if (topic === 'event') names.forEach((name) => client.event.subscribe(name, () => {}))
  return topic === 'record' ? names.map((name) => client.record.getRecord(name)) : []
}

describe('listen patterns', () => {
  for (const topic of ['event', 'record']) {
    test(`a pattern that matches every ${topic} is told of those that its user may listen to`, async (t) => {
      const server = await serverFor(t, { extra: permission(SECRET) })
      const [mallory, boss, one] = [await user(t, server, 'mallory'), await user(t, server, 'boss'), await user(t, server, 'one')]
      mallory.mayFail = true
      const found = { mallory: [], boss: [], before: [] }
      const listen = (client, who, pattern) => client[topic].listen(pattern, (name, response) => {
        found[who].push(name)
        response.accept()
      })
      // What is there before, and what comes.
      const records = subscribe(one, topic, [...OPEN_NAMES.slice(4), ...SECRETS.slice(4)])
      listen(mallory, 'mallory', '.*')
      records.push(...subscribe(one, topic, [...OPEN_NAMES.slice(0, 4), ...SECRETS.slice(0, 4)]))
      await until('the open ones are found', () => found.mallory.length >= OPEN_NAMES.length)
      listen(boss, 'boss', 'patient')
      await until('who may is asked for the others', () => found.boss.length >= SECRETS.length)
      assert.deepEqual(sorted(found.boss), SECRETS)
      assert.deepEqual(sorted(found.mallory), OPEN_NAMES)
      await until('all are provided', () => records.every((record) => record.hasProvider))
      // Listening by name is what it was.
      mallory[topic].listen(SECRETS[0], () => assert.fail('it may not'))
      await until('it is denied', () => mallory.errors.some((error) => error.event === 'MESSAGE_DENIED'))
      // And who provides them is gone: nobody else is told.
      boss.close()
      const sentinel = 'open/last'
      subscribe(one, topic, [sentinel])
      await until('the next open one is found', () => found.mallory.includes(sentinel))
      assert.deepEqual(sorted(found.mallory), sorted([...OPEN_NAMES, sentinel]))
    })

    const [number, words] = topic === 'event' ? [TOPIC.EVENT, EVENT] : [TOPIC.RECORD, RECORD]

    test(`who was not told of a ${topic} cannot provide it by guessing its name`, async (t) => {
      const server = await serverFor(t, { extra: permission(SECRET) })
      const one = await Raw.login(t, server, { username: 'one' })
      const mallory = await Raw.login(t, server, { username: 'mallory' })
      mallory.send(number, { action: words.LISTEN, name: '.*' })
      await mallory.next({ action: words.LISTEN, isAck: true })
      one.send(number, { action: words.SUBSCRIBE, names: [SECRETS[0]], correlationId: '1' })
      await one.next({ action: words.SUBSCRIBE, isAck: true })
      // The answer is the same for a name that nobody subscribes to.
      for (const subscription of [SECRETS[0], 'secret/nobody']) {
        mallory.send(number, { action: words.LISTEN_ACCEPT, name: '.*', subscription })
        assert.deepEqual(await mallory.take(), { topic: number, action: words.PATTERN_REMOVED, name: '.*', subscription })
      }
      one.send(number, { action: words.UNSUBSCRIBE, names: [SECRETS[0]], correlationId: '2' })
      const next = await one.take()
      assert.equal(next.action, words.UNSUBSCRIBE, 'it never had a provider')
    })
  }

  test('the older client is told of no more', async (t) => {
    const server = await serverFor(t, { extra: permission(SECRET) })
    const mallory = await oldLoggedIn(t, server, {}, { username: 'mallory' })
    const one = await user(t, server, 'one')
    const found = []
    mallory.record.listen('.*', (name, wanted, response) => {
      found.push(name)
      if (wanted) response.accept()
    })
    const records = subscribe(one, 'record', [...SECRETS, ...OPEN_NAMES])
    await until('the open ones are provided', () => records.slice(SECRETS.length).every((record) => record.hasProvider))
    assert.deepEqual(sorted(found), OPEN_NAMES)
    assert.ok(records.slice(0, SECRETS.length).every((record) => !record.hasProvider))
  })

  test('a rule that reads a record is waited for', async (t) => {
    const server = await serverFor(t, { extra: permission(SECRET) })
    const [ann, one] = [await user(t, server, 'ann'), await user(t, server, 'one')]
    await one.record.setDataWithAck('may/ann', { listen: true })
    await one.record.setDataWithAck('may/bob', { listen: false })
    const found = []
    ann.event.listen('^asked/|^sentinel', (name, response) => {
      found.push(name)
      response.accept()
    })
    subscribe(one, 'event', ['asked/bob', 'asked/ann', 'asked/nobody'])
    await until('it is found', () => found.includes('asked/ann'))
    subscribe(one, 'event', ['sentinel'])
    await until('the sentinel is found', () => found.includes('sentinel'))
    assert.deepEqual(found, ['asked/ann', 'sentinel'])
  })

  test('rules that change end what is provided against them, and offer what they allow', async (t) => {
    const server = await Server.prepare({ extra: permission('fileLoad(rules.json)') })
    atEnd(t, () => server.discard())
    const file = path.join(server.directory, 'rules.json')
    writeFileSync(file, JSON.stringify(rules({})))
    await server.launch()
    const [mallory, one] = [await user(t, server, 'mallory'), await user(t, server, 'one')]
    const seen = []
    mallory.record.listen('.*', (name, response) => {
      seen.push(`start ${name}`)
      response.onStop((stopped) => seen.push(`stop ${stopped}`))
      response.accept()
    })
    const [secret, open] = subscribe(one, 'record', [SECRETS[0], OPEN_NAMES[0]])
    await until('both are provided', () => secret.hasProvider && open.hasProvider)
    writeFileSync(file, JSON.stringify(SECRET))
    server.child.kill('SIGHUP')
    await until('it is told to stop', () => seen.includes(`stop ${SECRETS[0]}`))
    await until('and the subscriber that nobody provides', () => !secret.hasProvider)
    assert.equal(open.hasProvider, true)
    writeFileSync(file, JSON.stringify(rules({})))
    server.child.kill('SIGHUP')
    await until('what is allowed again is provided again', () => secret.hasProvider)
    assert.deepEqual(seen.filter((line) => line.includes('secret')), ['start', 'stop', 'start'].map((what) => `${what} ${SECRETS[0]}`))
  })

  test('a file that allows patterns by their text goes on for the names that they match', async (t) => {
    const permissions = {
      ...OPEN,
      event: { '*': { publish: true, subscribe: true }, 'news/.*': { listen: true }, '\\^device/$user/*': { listen: '$user === user.id' } }
    }
    const server = await serverFor(t, { extra: permission(permissions) })
    const [ann, one] = [await user(t, server, 'ann'), await user(t, server, 'one')]
    const found = []
    for (const pattern of ['news/.*', '^device/ann/.*']) {
      ann.event.listen(pattern, (name, response) => {
        found.push(name)
        response.accept()
      })
    }
    subscribe(one, 'event', ['other/1', 'device/bob/1', 'news/1', 'device/ann/1'])
    await until('both are found', () => found.length >= 2)
    assert.deepEqual(sorted(found), ['device/ann/1', 'news/1'])
  })
})

test('whoever asks for everybody is told of those whom it may ask for by name', async (t) => {
  const permissions = { ...OPEN, presence: { '*': { allow: true }, boss: { allow: "user.id === 'deputy'" }, undefined: { allow: true } } }
  const server = await serverFor(t, { extra: permission(permissions) })
  const [mallory, deputy] = [await user(t, server, 'mallory'), await user(t, server, 'deputy')]
  const old = await oldLoggedIn(t, server, {}, { username: 'oldie' })
  const seen = { mallory: [], deputy: [], oldie: [] }
  mallory.presence.subscribe((who, online) => seen.mallory.push(`${who} ${online}`))
  deputy.presence.subscribe((who, online) => seen.deputy.push(`${who} ${online}`))
  old.presence.subscribe((who, online) => seen.oldie.push(`${who} ${online}`))
  // Their subscriptions are in force once they are told about a user that they may know.
  let number = 0
  await until('all watch', async () => {
    const one = await user(t, server, `early-${number++}`)
    one.close()
    return Object.values(seen).every((list) => list.length > 0)
  })
  const boss = await user(t, server, 'boss')
  const there = async (client) => sorted(await client.presence.getAll()).filter((who) => !who.startsWith('early'))
  assert.deepEqual(await there(mallory), ['deputy', 'oldie'])
  assert.deepEqual(await there(deputy), ['boss', 'mallory', 'oldie'])
  boss.close()
  const last = await user(t, server, 'last')
  await until('the last is seen', () => Object.values(seen).every((list) => list.includes('last true')))
  await until('and who may sees the boss go', () => seen.deputy.includes('boss false'))
  assert.ok(seen.deputy.includes('boss true'))
  assert.deepEqual([...seen.mallory, ...seen.oldie].filter((line) => line.startsWith('boss')), [])
  // Over HTTP the same.
  const answer = await fetch(`http://${server.url}/api`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ authData: { username: 'mallory' }, body: [{ topic: 'presence', action: 'query' }] })
  })
  const [{ users }] = (await answer.json()).body
  assert.ok(!users.includes('boss') && users.includes('last'), users.join())
  last.close()
})
