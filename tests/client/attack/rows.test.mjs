// Two names must never share a record: a client that reached a record by another name would get around its permissions
// and the server's cache. On a real database, in every protocol.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { post } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { freePort } from '../helpers/ports.mjs'
import { connected } from '../helpers/mqtt.mjs'
import { oldLoggedIn, oldReady } from '../helpers/old-clients.mjs'
import { Postgres } from '../helpers/postgres.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { AUTH, RECORD, TOPIC } from '../helpers/wire.mjs'

let postgres
before(async () => { postgres = await Postgres.start() })
after(() => postgres?.discard())

const rows = (database, table) => postgres.sql(`SELECT id, val FROM ds."${table}" ORDER BY id`, database)
const all = { create: true, read: true, write: true, delete: true, listen: true, notify: true }
const LONG = 'l'.repeat(63)
/** Everything is allowed but these. */
const CLOSED = ['secret/*', 'vault', `${LONG}/*`]
const permission = {
  type: 'config',
  options: {
    permissions: {
      record: { '*': all, ...Object.fromEntries(CLOSED.map((path) => [path, Object.fromEntries(Object.keys(all).map((right) => [right, "user.id === 'owner'"]))])) },
      event: { '*': { publish: true, subscribe: true, listen: true } },
      rpc: { '*': { provide: true, request: true } },
      presence: { '*': { allow: true } }
    }
  }
}

/** What is closed, and other names for it. */
const ATTACKS = [
  ['secret/x', ['secret;/x', '"secret/x', 'secr;et/;x', ';secret;/;x;', '"secret"/"x"']],
  ['vault', ['default/vault', 'vault;', '"vault', 'default;/vault']],
  [`${LONG}/1`, [`${LONG}-secret/1`, `${LONG}\u00e9/1`, `${LONG.slice(1)}\u00e9/1`, `${LONG}"/1`]]
]
const NAMES = ATTACKS.flatMap(([, names]) => names)
const create = (name, correlationId, data = '{"by":"thief"}') => ({ action: RECORD.CREATEANDUPDATE, name, version: -1, data, isWriteAck: true, correlationId })

async function onDatabase (t, name, extra = {}, options = {}) {
  const storage = await postgres.database(name, options.storage)
  const mqttPort = await freePort()
  const server = await Server.start({ mqtt: { port: mqttPort }, extra: { storage, dependencyInitializationTimeout: 10000, permission, ...extra }, ...options })
  atEnd(t, () => server.discard())
  server.mqttPort = mqttPort
  return server
}

async function closedRecords (t, server) {
  const owner = await Raw.login(t, server, { username: 'owner' })
  for (const [name] of ATTACKS) assertFields(await owner.ask(TOPIC.RECORD, create(name, name, '{"by":"owner"}'), { name }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
  return owner
}

describe('a name that is not the one of its row', () => {
  test('reads, writes and deletes nothing, on no wire, and its writer is told why', async (t) => {
    const server = await onDatabase(t, 'walls')
    const owner = await closedRecords(t, server)
    const thief = await Raw.login(t, server, { username: 'thief' })
    const told = new Set()
    for (const name of NAMES) {
      assertFields(await thief.ask(TOPIC.RECORD, { action: RECORD.READ, name }, { name }), { action: RECORD.RECORD_NOT_FOUND })
      assertFields(await thief.ask(TOPIC.RECORD, { action: RECORD.HEAD, name, correlationId: 'h' }, { name }), { action: RECORD.HEAD_RESPONSE, version: -1 })
      assertFields(await thief.ask(TOPIC.RECORD, { action: RECORD.DELETE, name }, { name }), { action: RECORD.DELETE_SUCCESS })
      for (const action of [RECORD.CREATEANDUPDATE, RECORD.CREATEANDPATCH, RECORD.UPDATE, RECORD.PATCH]) {
        const path = [RECORD.CREATEANDPATCH, RECORD.PATCH].includes(action) ? { path: 'by' } : {}
        const answer = await thief.ask(TOPIC.RECORD, { ...create(name, `w${action}`), action, ...path }, { name })
        assertFields(answer, { action: RECORD.RECORD_UPDATE_ERROR, isError: true, isWriteAck: true, correlationId: `w${action}` })
        const why = JSON.parse(answer.data)
        assert.match(why, /^storage keeps no record of this name: /)
        told.add(why)
      }
      thief.record(RECORD.SUBSCRIBECREATEANDREAD, { names: [name], correlationId: 's' })
      const answer = await thief.next({ topic: TOPIC.RECORD, action: RECORD.RECORD_UPDATE_ERROR })
      assertFields(answer, { name, originalAction: RECORD.SUBSCRIBECREATEANDREAD, isError: true })
      thief.record(RECORD.SUBSCRIBEANDREAD, { names: [name], correlationId: 'r' })
      assertFields(await thief.next({ topic: TOPIC.RECORD, action: RECORD.READ_RESPONSE }), { name, version: -1, data: '{}' })
      thief.record(RECORD.UNSUBSCRIBE, { names: [name], correlationId: 'u' })
      await thief.next({ correlationId: 'u' })
    }
    assert.ok([...told].some((why) => why.includes('that of secret/x')), [...told].join('\n'))

    // HTTP, one batch for all.
    const login = { authData: { username: 'thief' } }
    const entries = NAMES.flatMap((recordName) => [
      { topic: 'record', action: 'write', recordName, data: { by: 'thief' } },
      { topic: 'record', action: 'read', recordName },
      { topic: 'record', action: 'delete', recordName }
    ])
    const { json } = await post(server, { ...login, body: entries })
    for (const [index, { action, recordName }] of entries.entries()) {
      const answer = json.body[index]
      assert.equal(answer.success, action === 'delete', `${action} ${recordName}: ${JSON.stringify(answer)}`)
      if (action === 'write') assert.match(answer.error, /^Record update failed: storage keeps no record of this name/)
      if (action === 'read') assert.match(answer.error, /could not be found/)
    }

    // The other WebSockets.
    const plain = await Json.login(t, server, { username: 'thief' })
    const json1 = await plain.ask({ topic: TOPIC.RECORD, action: RECORD.CREATEANDUPDATE, name: 'secret;/x', version: -1, data: '{}', isWriteAck: true, correlationId: '1' })
    assert.equal(json1.action, RECORD.RECORD_UPDATE_ERROR)
    assert.match(json1.parsedData, /that of secret\/x/)
    const text = await Text.login(t, server, { username: 'thief' })
    text.say('R|CU|secret;/x|-1|{}|{"writeSuccess":true}+')
    const lines = []
    await until('the writer is told', () => {
      lines.push(...text.received.splice(0))
      return lines.some((line) => line.startsWith('R|WA|secret;/x|')) && lines.some((line) => line.startsWith('R|E|'))
    })
    assert.ok(lines.some((line) => /^R\|WA\|secret;\/x\|\[-?\d*\]\|SRECORD_UPDATE_ERROR: storage keeps no record/.test(line)), lines.join('\n'))

    // MQTT: a retained message is a record.
    const client = await connected(t, server, { protocolVersion: 5, username: 'thief', clientId: 'thief' })
    for (const [name, good] of [['secret;/x', false], ['default/vault', false], ['open/x', true]]) {
      const failure = await within('the PUBACK', client.publishAsync(name, '{"by":"thief"}', { qos: 1, retain: true }).then(() => undefined, (error) => error))
      assert.equal(failure === undefined, good, `${name}: ${failure}`)
    }

    for (const [name] of ATTACKS) {
      const { data } = await owner.ask(TOPIC.RECORD, { action: RECORD.READ, name }, { name })
      assert.equal(data, '{"by":"owner"}', name)
    }
    assert.deepEqual(await rows('walls', 'secret'), [['x', '{"by":"owner"}']])
    assert.deepEqual(await rows('walls', 'default'), [['vault', '{"by":"owner"}']])
    assert.deepEqual(await rows('walls', LONG), [['1', '{"by":"owner"}']])
    await until('the log says it', () => /RECORD_UPDATE_ERROR \| thief cannot make record secret;\/x: storage keeps no record/.test(server.log))
    await thief.untilPong()
    await server.end()
    await server.launch()
    assert.deepEqual(await rows('walls', 'secret'), [['x', '{"by":"owner"}']], 'nothing came later, either')
  })

  test('is told to the official clients of both generations', async (t) => {
    const server = await onDatabase(t, 'clients')
    const client = await loggedIn(t, server, {}, { username: 'ann' })
    client.mayFail = true
    const failure = await within('the write', client.record.setDataWithAck('notes/a;b', { a: 1 }).then(() => undefined, (error) => error))
    assert.equal(failure, 'RECORD_UPDATE_ERROR')
    const errors = []
    client.on('error', (...error) => errors.push(error))
    const record = client.record.getRecord('notes/a"b')
    record.on('error', (...error) => errors.push(error))
    await until('the record has an error', () => errors.flat().includes('RECORD_UPDATE_ERROR'))
    assert.equal(await within('has', client.record.has('notes/a;b')), false)
    const old = await oldLoggedIn(t, server, {}, { username: 'bob' })
    const other = await oldReady(old, 'notes/ab')
    await within('the write', new Promise((resolve, reject) => other.set({ b: 1 }, (error) => error ? reject(new Error(error)) : resolve())))
    assert.deepEqual(await rows('clients', 'notes'), [['ab', '{"b":1}']])
  })

  test('has nothing to do with the record it looks like', async (t) => {
    const server = await onDatabase(t, 'apart')
    const client = await loggedIn(t, server)
    const [one, two] = [await ready(client, 'notes/ab'), await ready(client, 'Notes/AB')]
    await one.setWithAck({ name: 'ab' })
    await two.setWithAck({ name: 'AB' })
    for (const name of ['notes/ab ', 'notes/ ab', 'notes/a\u00e4', 'notes/aa\u0308', 'notes/ab/', 'notes/']) {
      await (await ready(client, name)).setWithAck({ name })
    }
    client.close()
    await server.end()
    await server.launch()
    const again = await loggedIn(t, server)
    for (const name of ['notes/ab', 'Notes/AB', 'notes/ab ', 'notes/ ab', 'notes/a\u00e4', 'notes/aa\u0308', 'notes/ab/', 'notes/']) {
      const expected = { 'notes/ab': 'ab', 'Notes/AB': 'AB' }[name] ?? name
      assert.deepEqual(await within('a read', again.record.snapshot(name)), { name: expected })
    }
  })
})

test('what upstream wrote under such names is there under the names of its rows', async (t) => {
  const storage = await postgres.database('kept')
  await postgres.sql(`CREATE SCHEMA ds;
    CREATE TABLE ds.notes (id text NOT NULL PRIMARY KEY, version int DEFAULT 0, val text NOT NULL);
    INSERT INTO ds.notes VALUES ('ab', 3, '{"from":"a;b"}');
    CREATE TABLE ds."default" (id text NOT NULL PRIMARY KEY, version int DEFAULT 0, val text NOT NULL);
    INSERT INTO ds."default" VALUES ('vault', 4, '{"from":"default/vault"}'), ('a/b', 5, '{"from":"default/a/b"}');
    CREATE TABLE ds."${LONG}" (id text NOT NULL PRIMARY KEY, version int DEFAULT 0, val text NOT NULL);
    INSERT INTO ds."${LONG}" VALUES ('1', 6, '{"from":"a longer table"}');`, 'kept')
  const server = await Server.start({ extra: { storage, dependencyInitializationTimeout: 10000 } })
  atEnd(t, () => server.discard())
  const client = await loggedIn(t, server)
  for (const [name, from] of [['notes/ab', 'a;b'], ['vault', 'default/vault'], ['default/a/b', 'default/a/b'], [`${LONG}/1`, 'a longer table']]) {
    assert.deepEqual(await within('a read', client.record.snapshot(name)), { from }, name)
  }
})

describe('a table that is not what it should be', () => {
  test('whose column takes two ids for one is neither read nor written, and others are', async (t) => {
    const storage = await postgres.database('inexact')
    await postgres.sql(`CREATE SCHEMA ds;
      CREATE COLLATION ds.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE ds.folded (id text COLLATE ds.loose NOT NULL PRIMARY KEY, version int DEFAULT 0, val text NOT NULL);
      INSERT INTO ds.folded VALUES ('Ann', 3, '{"secret":true}');
      CREATE TABLE ds.padded (id char(8) NOT NULL PRIMARY KEY, version int DEFAULT 0, val text NOT NULL);
      INSERT INTO ds.padded VALUES ('ann', 3, '{"secret":true}');`, 'inexact')
    const server = await Server.start({ extra: { storage, dependencyInitializationTimeout: 10000 } })
    atEnd(t, () => server.discard())
    const raw = await Raw.login(t, server)
    for (const name of ['folded/ann', 'folded/Ann', 'padded/ann', 'padded/ann ']) {
      assertFields(await raw.ask(TOPIC.RECORD, { action: RECORD.READ, name }, { name }), { action: RECORD.RECORD_LOAD_ERROR })
      assertFields(await raw.ask(TOPIC.RECORD, create(name, name), { name }), { action: RECORD.RECORD_UPDATE_ERROR })
    }
    assertFields(await raw.ask(TOPIC.RECORD, create('fine/ann', '1'), { name: 'fine/ann' }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    assert.deepEqual(await rows('inexact', 'folded'), [['Ann', '{"secret":true}']])
    await until('the log says what to do', () => /the column id of table folded may take different names for one: make it text/.test(server.log))
  })

  test('that cannot be made is told to who writes, and never acknowledged', async (t) => {
    const server = await onDatabase(t, 'taken')
    const raw = await Raw.login(t, server)
    assertFields(await raw.ask(TOPIC.RECORD, create('users/1', '1'), { name: 'users/1' }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    const answer = await raw.ask(TOPIC.RECORD, create('users_pkey/1', '2'), { name: 'users_pkey/1' })
    assertFields(answer, { action: RECORD.RECORD_UPDATE_ERROR, isWriteAck: true, correlationId: '2' })
    assert.match(JSON.parse(answer.data), /table users_pkey cannot be made/)
    assertFields(await raw.ask(TOPIC.RECORD, create('users/2', '3'), { name: 'users/2' }), { action: RECORD.WRITE_ACKNOWLEDGEMENT })
  })
})

test('a name of a user reaches the record of that user and no other', async (t) => {
  const auth = [{ type: 'storage', options: { table: 'users', createUser: true, hash: 'sha256', iterations: 10, keyLength: 32 } }]
  const server = await onDatabase(t, 'users', { auth })
  const enter = async (username, password = 'secret') => {
    const raw = await Raw.challenged(server)
    atEnd(t, () => raw.terminate())
    raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify({ username, password }) })
    const { action, data } = await raw.take()
    return { in: action === AUTH.AUTH_SUCCESSFUL, data }
  }
  assert.ok((await enter('ann')).in)
  await postgres.sql('INSERT INTO ds.users SELECT \'ann/notes\', 1, val FROM ds.users', 'users')
  for (const name of ['ann;', '"ann', 'ann/notes', 'ann\0', '', '/', 'x'.repeat(2048), 'x'.repeat(5000)]) {
    const { in: inside, data } = await enter(name)
    assert.equal(inside, false, JSON.stringify(name))
    assert.match(data, /This username cannot be registered: /, name)
  }
  assert.deepEqual((await rows('users', 'users')).map(([id]) => id), ['ann', 'ann/notes'])
  assert.ok((await enter('ann')).in)
  assert.ok((await enter('Ann')).in, 'another user')
  assert.equal((await rows('users', 'users')).length, 3)
})
