// The table of rule cases in tests/permissions on a running server: every case is performed by a client of its own as its
// user, and is allowed or denied as the table says. The same cases are judged without a server by tests/permission_table.rs.
//
// A server per theme. Its cases are performed in rounds: first with rules that allow everything, so that the records of
// the round's cases can be written, then, after a SIGHUP, with the rules of the theme. A round holds cases that do not
// need different values of the same record.

import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import deepstream from '@deepstream/client'
import { parse } from 'yaml'
import { FAST } from '../helpers/clients.mjs'
import { Raw } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { AUTH, EVENT, PRESENCE, RECORD, RPC, TOPIC } from '../helpers/wire.mjs'

const { DeepstreamClient } = deepstream
const skip = REFERENCE
const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../permissions')
const themes = readdirSync(folder).filter((file) => file.endsWith('.rules.yml')).map((file) => file.replace('.rules.yml', ''))
/** Cases performed at once. */
const TOGETHER = 24
const OPEN = {
  record: { '*': { create: true, read: true, write: true, delete: true, listen: true, notify: true } },
  event: { '*': { publish: true, subscribe: true, listen: true } },
  rpc: { '*': { provide: true, request: true } },
  presence: { '*': { allow: true } }
}
const MUTATING = ['record.create', 'record.write', 'record.delete']
const DENIALS = [/MESSAGE_DENIED/, /MESSAGE_PERMISSION_ERROR/]

/** The cases of a theme and what is known of its users. */
function read (theme) {
  const table = parse(readFileSync(path.join(folder, `${theme}.cases.yml`), 'utf8'), { maxAliasCount: -1 })
  const { users = {}, cases } = Array.isArray(table) ? { cases: table } : table
  const names = new Set(['root', ...cases.map((entry) => entry.user)])
  const accounts = Object.fromEntries([...names].map((name) => [name, { password: 'p', ...(users[name] ? { serverData: users[name] } : {}) }]))
  return { accounts, cases }
}

/** What has to be where for a case: record name → value, or undefined where there must be none. */
function needs (entry) {
  const wanted = new Map(Object.entries(entry.records ?? {}))
  if (entry.action.startsWith('record.') && !['record.listen', 'record.notify'].includes(entry.action)) {
    const own = JSON.stringify(entry.oldData)
    assert.ok(!wanted.has(entry.name) || JSON.stringify(wanted.get(entry.name)) === own, `${entry.name} cannot be two records`)
    wanted.set(entry.name, entry.oldData)
  }
  return wanted
}

/** Cases that can be performed side by side, in the order of the table. */
function rounds (cases) {
  const made = []
  for (const entry of cases) {
    const wanted = needs(entry)
    const mutates = MUTATING.includes(entry.action)
    const fits = (round) => [...wanted].every(([name, value]) => {
      if (!round.records.has(name)) return true
      const other = round.records.get(name)
      const changed = round.changed.has(name) || (mutates && name === entry.name)
      return !changed && JSON.stringify(other) === JSON.stringify(value)
    }) && !round.busy.has(busyName(entry))
    let round = made.find(fits)
    if (!round) made.push(round = { cases: [], records: new Map(), changed: new Set(), busy: new Set() })
    round.cases.push(entry)
    for (const [name, value] of wanted) round.records.set(name, value)
    if (mutates) round.changed.add(entry.name)
    if (busyName(entry)) round.busy.add(busyName(entry))
  }
  return made
}

/** Two cases that provide, ask or listen for one name would be in each other's way. */
function busyName ({ action, name }) {
  return ['rpc.provide', 'rpc.request', 'event.subscribe', 'event.publish', 'event.listen', 'record.listen'].includes(action) ? `${action.split('.')[0]} ${name}` : undefined
}

async function login (server, username) {
  const raw = await Raw.challenged(server)
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ username, password: 'p' }) })
  const answer = await raw.take()
  assert.equal(answer.action, AUTH.AUTH_SUCCESSFUL, `the login of ${username} was answered ${JSON.stringify(answer)}`)
  return raw
}

/** Puts other rules in force. */
async function rule (server, put) {
  const text = 'the configuration was read again'
  const before = server.log.split(text).length
  server.log = server.log.slice(-4096)
  const kept = server.log.split(text).length
  put(path.join(server.directory, 'permissions.yml'))
  server.child.kill('SIGHUP')
  await until('the rules are in force', () => server.log.split(text).length > kept || server.log.split(text).length > before)
}

/** Makes records what they have to be. */
async function seed (root, records, versions) {
  for (const [name, value] of records) {
    if (value === undefined && !versions.has(name)) continue
    await root.ask(TOPIC.RECORD, { action: RECORD.DELETE, name }, { name })
    versions.delete(name)
    if (value === undefined) continue
    root.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify(value), isWriteAck: true, correlationId: name })
    const answer = await root.next({ topic: TOPIC.RECORD, action: RECORD.WRITE_ACKNOWLEDGEMENT, name })
    versions.set(name, 1)
    assert.ok(!answer.isError, JSON.stringify(answer))
  }
}

/** An error of the library is a denial, or something that only happens to what was allowed. */
const isDenial = (error) => DENIALS.some((text) => text.test(String(error?.message ?? error)))

const verdictOf = (promise) => promise.then(() => 'allow', (error) => isDenial(error) ? 'deny' : 'allow')

/** What the raw answer to a message says. */
function answered (message) {
  const denials = { [TOPIC.RECORD]: [RECORD.MESSAGE_DENIED, 114], [TOPIC.EVENT]: [EVENT.MESSAGE_DENIED, 103], [TOPIC.RPC]: [RPC.MESSAGE_DENIED, 106], [TOPIC.PRESENCE]: [102, 101] }
  return denials[message.topic].includes(message.action) ? 'deny' : 'allow'
}

/** By the raw protocol, where the library has no words for it. */
async function performRaw (server, entry, versions) {
  const raw = await login(server, entry.user)
  try {
    const { action, name, actionNumber } = entry
    const version = (versions.get(name) ?? 0) + 1
    const say = {
      'record.read': () => [TOPIC.RECORD, { action: actionNumber ?? RECORD.READ, ...([21, 22, 25].includes(actionNumber) ? { names: [name], correlationId: 'c' } : { name }) }],
      'record.write': () => {
        const one = entry.patch?.length === 1
        if (one) return [TOPIC.RECORD, { action: RECORD.PATCH, name, path: entry.patch[0].path, data: JSON.stringify(entry.patch[0].data), version, isWriteAck: true, correlationId: 'c' }]
        if (entry.patch) return [TOPIC.RECORD, { action: RECORD.PATCH_MULTI, name, data: JSON.stringify(entry.patch), version, isWriteAck: true, correlationId: 'c' }]
        return [TOPIC.RECORD, { action: RECORD.UPDATE, name, data: JSON.stringify(entry.data), version, isWriteAck: true, correlationId: 'c' }]
      },
      'record.delete': () => entry.erase
        ? [TOPIC.RECORD, { action: RECORD.ERASE, name, path: entry.erase, version, isWriteAck: true, correlationId: 'c' }]
        : [TOPIC.RECORD, { action: RECORD.DELETE, name }],
      'record.listen': () => [TOPIC.RECORD, { action: RECORD.LISTEN, name }],
      'event.listen': () => [TOPIC.EVENT, { action: EVENT.LISTEN, name }],
      'presence.allow': () => [TOPIC.PRESENCE, name === undefined ? { action: actionNumber } : { action: actionNumber, names: [name], correlationId: 'c' }]
    }
    const [topic, fields] = say[action]()
    raw.send(topic, fields)
    let answer
    // Others come and go meanwhile; and of what is subscribed and read, the acknowledgement says nothing of the reading.
    const passes = (message) => message.topic !== topic || (topic === TOPIC.PRESENCE && message.action === PRESENCE.PRESENCE_JOIN_ALL) ||
      (message.isAck && topic === TOPIC.RECORD && [RECORD.SUBSCRIBEANDHEAD, RECORD.SUBSCRIBEANDREAD].includes(message.action))
    do answer = await raw.take(); while (passes(answer))
    return answered(answer)
  } finally {
    raw.terminate()
  }
}

/** What only the raw protocol can say: some actions, patches of several paths, writes to what is not there. */
const isRaw = ({ action, actionNumber, patch, oldData, name }) =>
  ['record.listen', 'event.listen'].includes(action) ||
  (action === 'record.read' && actionNumber !== undefined && actionNumber !== RECORD.HEAD) ||
  (action === 'record.write' && (actionNumber !== undefined || patch?.length > 1 || (patch && oldData === undefined))) ||
  (action === 'record.delete' && (actionNumber !== undefined || oldData === undefined)) ||
  (action === 'presence.allow' && actionNumber !== undefined)

/** By the official client. Answers the verdict, and where it could be an accident proves it. */
async function perform (server, entry, versions) {
  if (isRaw(entry)) return performRaw(server, entry, versions)
  const { action, name, user } = entry
  const client = new DeepstreamClient(server.url, FAST)
  let said
  client.on('error', (message, event) => { if (isDenial(event) || isDenial(message)) said = 'deny' })
  let helper
  try {
    await within('login', client.login({ username: user, password: 'p' }))
    const told = () => until('a denial is told', () => said)
    const handle = () => {
      const record = client.record.getRecord(name)
      record.on('error', (...parts) => { if (isDenial(parts.map(String).join(' '))) said = 'deny' })
      return record
    }
    switch (action) {
      case 'record.create':
        return await Promise.race([handle().whenReady().then(() => 'allow'), told()])
      case 'record.read':
        return await verdictOf(entry.actionNumber === RECORD.HEAD ? client.record.head(name) : client.record.snapshot(name))
      case 'record.write':
        if (entry.patch) return await verdictOf(client.record.setDataWithAck(name, entry.patch[0].path, entry.patch[0].data))
        return await verdictOf(client.record.setDataWithAck(name, entry.data))
      case 'record.delete': {
        const record = handle()
        await within('the record', record.whenReady())
        if (!entry.erase) return await verdictOf(record.delete())
        return await Promise.race([verdictOf(record.eraseWithAck(entry.erase)), told()])
      }
      case 'record.notify':
        return await Promise.race([verdictOf(client.record.notify([name])), told()])
      case 'event.publish': {
        helper = await login(server, 'root')
        helper.event(EVENT.SUBSCRIBE, { names: [name], correlationId: 'c' })
        assert.equal(answered(await helper.take()), 'allow', 'events of a theme can be heard')
        client.event.emit(name, entry.data)
        const heard = () => helper.received.some((message) => message.action === EVENT.EMIT)
        // A rule that fails is an error that the library has no words for.
        client.on('error', () => { said = 'deny' })
        return await until('the event is heard or denied', () => said ?? (heard() && 'allow'))
      }
      case 'event.subscribe': {
        helper = await login(server, 'root')
        client.event.subscribe(name, () => { said ??= 'allow' })
        client.on('error', () => { said ??= 'deny' })
        return await until('the subscription is heard or denied', () => {
          if (!said) helper.event(EVENT.EMIT, { name, data: '1' })
          return said
        }, { every: 5 })
      }
      case 'rpc.provide': {
        helper = await login(server, 'root')
        client.on('error', () => { said ??= 'deny' })
        client.rpc.provide(name, (data, response) => { said ??= 'allow'; response.send(1) })
        let number = 0
        return await until('the provider is asked or denied', () => {
          if (!said) helper.rpc(RPC.REQUEST, { name, correlationId: String(number++) })
          return said
        }, { every: 5 })
      }
      case 'rpc.request':
        return await verdictOf(client.rpc.make(name, entry.data))
      case 'presence.allow':
        return await verdictOf(name === undefined ? client.presence.getAll() : client.presence.getAll([name]))
      default:
        throw new Error(`nobody knows how to ${action}`)
    }
  } finally {
    // Ends waits that are still going on.
    said ??= 'over'
    helper?.terminate()
    client.close()
    // Closing does not stop one that is trying to reconnect.
    client.options.maxReconnectAttempts = 0
  }
}

describe('the table of rule cases', { skip }, () => {
  let performed = 0
  for (const theme of themes) {
    test(theme, async (t) => {
      const { accounts, cases } = read(theme)
      const rules = path.join(folder, `${theme}.rules.yml`)
      const server = await Server.prepare({
        memory: true,
        logLevel: 1,
        extra: {
          auth: [{ type: 'file', options: { users: accounts } }],
          permission: { type: 'config', options: { permissions: 'fileLoad(permissions.yml)' } }
        }
      })
      atEnd(t, () => server.discard())
      const open = (file) => writeFileSync(file, JSON.stringify(OPEN))
      open(path.join(server.directory, 'permissions.yml'))
      await server.launch()
      const root = await login(server, 'root')
      atEnd(t, () => root.terminate())
      const versions = new Map()
      const wrong = []
      for (const [index, round] of rounds(cases).entries()) {
        if (index > 0) await rule(server, open)
        await seed(root, round.records, versions)
        await rule(server, (file) => copyFileSync(rules, file))
        const waiting = round.cases.slice()
        const work = async () => {
          for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
            const about = JSON.stringify(entry)
            const got = await perform(server, entry, versions).catch((error) => `${error.message.split('\n')[0]}`)
            performed += 1
            if (got !== entry.expected) wrong.push(`${got}: ${about}`)
          }
        }
        await Promise.all(Array.from({ length: TOGETHER }, work))
        for (const name of round.changed) versions.set(name, versions.get(name) ?? 1)
      }
      assert.deepEqual(wrong, [], `${wrong.length} of ${cases.length} cases`)
    })
  }

  test('has at least three hundred cases', () => assert.ok(performed >= 300, `${performed} cases`))
})
