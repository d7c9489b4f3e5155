// Records in a PostgreSQL database: how they are stored, what survives a crash of the server or the database, and rows
// that other programs wrote.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready, readyList, untilData, untilVersion } from '../helpers/clients.mjs'
import { Flood } from '../helpers/flood.mjs'
import { Postgres } from '../helpers/postgres.mjs'
import { Raw } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { RECORD, TOPIC } from '../helpers/wire.mjs'

let postgres
before(async () => { postgres = await Postgres.start() })
after(() => postgres?.discard())

/** A server on a database that has just been made. */
async function onDatabase (t, name, options = {}, extra = {}) {
  const storage = await postgres.database(name, options)
  return onStorage(t, storage, extra)
}

async function onStorage (t, storage, extra = {}) {
  const server = await Server.start({ extra: { storage, dependencyInitializationTimeout: 10000, ...extra } })
  atEnd(t, () => server.discard())
  return server
}

const rows = (database, table) => postgres.sql(`SELECT id, version, val FROM ds."${table}" ORDER BY id`, database)

describe('keeping', () => {
  test('what clients write lies in the tables of its names, and is there for the next server', async (t) => {
    const server = await onDatabase(t, 'round')
    const client = await loggedIn(t, server)
    const user = await ready(client, 'users/ann/1')
    await user.setWithAck({ name: 'Ann', words: ['it\'s', 'a "quote"', '\\', 'é🙂'] })
    await user.setWithAck('address.city', 'Bern')
    const plain = await ready(client, 'plain')
    await plain.setWithAck({ plain: true })
    const odd = await ready(client, 'it\'s -- odd DROP/it\'s')
    await odd.setWithAck({ odd: true })
    const list = await readyList(client, 'lists/of')
    list.setEntries(['users/ann/1', 'plain'])
    const gone = await ready(client, 'users/gone')
    await gone.setWithAck({ here: true })
    gone.delete()

    const ann = { name: 'Ann', words: ['it\'s', 'a "quote"', '\\', 'é🙂'], address: { city: 'Bern' } }
    await until('the removal is in the database', async () => (await rows('round', 'users')).length === 1)
    const [[id, version, value]] = await rows('round', 'users')
    assert.deepEqual([id, version, JSON.parse(value)], ['ann/1', '2', ann])
    assert.deepEqual(await rows('round', 'default'), [['plain', '1', '{"plain":true}']])
    assert.deepEqual(await rows('round', 'it\'s -- odd DROP'), [['it\'s', '1', '{"odd":true}']])
    await until('the list is in the database', async () => {
      const [row] = await rows('round', 'lists').catch(() => [])
      return row?.[2] === '["users/ann/1","plain"]'
    })

    client.close()
    await server.end()
    await server.launch()
    const next = await loggedIn(t, server)
    const again = await ready(next, 'users/ann/1')
    assert.deepEqual([again.version, again.get()], [2, ann])
    assert.deepEqual((await readyList(next, 'lists/of')).getEntries(), ['users/ann/1', 'plain'])
    assert.equal(await within('has', next.record.has('users/gone')), false)
    assert.equal(await within('has', next.record.has('nowhere/at/all')), false)
    assert.equal(await within('head', next.record.head('it\'s -- odd DROP/it\'s')), 1)
    // Upstream has what differs in these characters only in the same row. Here they are no records.
    assert.equal(await within('head', next.record.head('it\'s "-- odd"; DROP/it\'s;')), -1)
  })

  test('what was acknowledged survives kill -9', async (t) => {
    const server = await onDatabase(t, 'killed')
    const raw = await Raw.login(t, server)
    const flood = new Flood(raw, Array.from({ length: 40 }, (_, i) => `kill${i % 4}/${i}`))
    const { acked } = flood
    await until('hundreds of writes are acknowledged', () => flood.sent > 600 && acked.size === 40)
    await server.end('SIGKILL')
    for (let table = 0; table < 4; table++) {
      for (const [id, , value] of await rows('killed', `kill${table}`)) {
        const known = acked.get(`kill${table}/${id}`)
        assert.ok(JSON.parse(value).n >= known, `${id}: ${value} is older than ${known}, which was acknowledged`)
        acked.delete(`kill${table}/${id}`)
      }
    }
    assert.deepEqual([...acked.keys()], [], 'acknowledged and not there')
  })

  test('names and values that the database cannot take are refused, and keep nobody else from being stored', async (t) => {
    const server = await onDatabase(t, 'refused', { useJsonb: true })
    const raw = await Raw.login(t, server)
    const writes = [
      ['fine/1', '{"a":1}', true],
      ['zero\0/x', '{"a":1}', false],
      ['/no-table', '{"a":1}', false],
      ['fine/escaped', '{"a":"\\u0000"}', false],
      ['fine/2', '{"a":[2]}', true]
    ]
    for (const [name, data] of writes) raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data, isWriteAck: true, correlationId: name })
    const answers = new Map()
    while (answers.size < writes.length) {
      const message = await raw.take()
      if (message.isWriteAck && message.correlationId) answers.set(message.correlationId, message.action)
    }
    for (const [name, , good] of writes) {
      assert.equal(answers.get(name), good ? RECORD.WRITE_ACKNOWLEDGEMENT : RECORD.RECORD_UPDATE_ERROR, name)
    }
    assert.deepEqual((await rows('refused', 'fine')).map(([id, , value]) => [id, value]), [['1', '{"a": 1}'], ['2', '{"a": [2]}']])
    await until('the log says so', () => server.log.includes('cannot be stored'))
    assert.deepEqual(await raw.ask(TOPIC.RECORD, { action: RECORD.READ, name: 'fine/1' }, { action: RECORD.READ_RESPONSE }).then(({ version }) => version), 1)
  })

  test('what breaks a constraint of the database is refused, and does not stand in the log', async (t) => {
    const server = await onDatabase(t, 'constrained', { useJsonb: true })
    const raw = await Raw.login(t, server)
    const write = async (id, data) => (await raw.ask(TOPIC.RECORD, { action: RECORD.CREATEANDUPDATE, name: `checked/${id}`, version: -1, data, isWriteAck: true, correlationId: id }, { correlationId: id })).action
    assert.equal(await write('1', '{"n":1}'), RECORD.WRITE_ACKNOWLEDGEMENT)
    await postgres.sql("ALTER TABLE ds.checked ADD CONSTRAINT small CHECK ((val->>'n')::int < 10)", 'constrained')
    assert.equal(await write('2', '{"n":50,"secret":"pa55word"}'), RECORD.RECORD_UPDATE_ERROR)
    await until('the log says so', () => server.log.includes('violates check constraint'))
    assert.ok(!server.log.includes('pa55word'), server.log)
  })
})

describe('a database that goes away', () => {
  test('delays writes, fails reads in time, and takes everything once it is back', async (t) => {
    const server = await onDatabase(t, 'away', {}, { record: { storageRetrievalTimeout: 500 } })
    await postgres.sql('CREATE TABLE ds.cold (id text PRIMARY KEY, version int DEFAULT 0, val text NOT NULL); INSERT INTO ds.cold VALUES (\'1\', 4, \'{"cold":1}\'), (\'2\', 5, \'{"cold":2}\')', 'away')
    const client = await loggedIn(t, server)
    const raw = await Raw.login(t, server)
    const record = await ready(client, 'load/1')
    let n = 0
    let acked = 0
    let failed = 0
    let going = true
    const load = (async () => {
      while (going) {
        const value = ++n
        await record.setWithAck({ n: value }).then(() => { acked = value }, () => { failed += 1 })
      }
    })()
    await until('writes are acknowledged', () => acked > 20)
    await postgres.kill()
    await until('the log says it', () => /POSTGRES.*database away.*Writes wait/.test(server.log))

    raw.record(RECORD.READ, { name: 'cold/1' })
    const answer = await raw.next({ topic: TOPIC.RECORD, name: 'cold/1' })
    assert.equal(answer.action, RECORD.STORAGE_RETRIEVAL_TIMEOUT)
    await until('a write was not confirmed in time', () => failed > 0)
    const before = acked

    await postgres.launch()
    await until('the log says it', () => server.log.includes('is back'))
    await until('writes are acknowledged again', () => acked > before + 20)
    going = false
    await within('the last write', load)
    const [[, version, value]] = await rows('away', 'load')
    assert.deepEqual([Number(version), JSON.parse(value)], [record.version, { n }])
    assert.deepEqual(await within('a read', client.record.snapshot('cold/2')), { cold: 2 })
    raw.record(RECORD.READ, { name: 'cold/1' })
    assert.equal((await raw.next({ action: RECORD.READ_RESPONSE, name: 'cold/1' })).version, 4)
  })

  test('does not hold up the end of the server, which says what it could not write', async (t) => {
    const server = await onDatabase(t, 'ending', {}, { limits: { drainTimeoutMs: 200 } })
    const raw = await Raw.login(t, server)
    await raw.ask(TOPIC.RECORD, { action: RECORD.CREATEANDUPDATE, name: 'end/1', version: -1, data: '{}', isWriteAck: true, correlationId: '1' }, { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    await postgres.kill()
    raw.record(RECORD.CREATEANDUPDATE, { name: 'end/1', version: -1, data: '{"late":1}' })
    await raw.untilPong()
    await server.end('SIGTERM', 15000)
    assert.match(server.log, /database ending at .* is away and the server ends: 1 records were not written/)
    await postgres.launch()
  })

  test('is waited for at the start, but not if it refuses', async (t) => {
    const storage = await postgres.database('late')
    await postgres.end()
    const server = await Server.prepare({ extra: { storage, dependencyInitializationTimeout: 20000 } })
    atEnd(t, () => server.discard())
    const started = server.launch()
    await until('it waits', () => server.log.includes('trying again for'))
    await postgres.launch()
    await started

    for (const [options, words] of [
      [{ password: 'wrong' }, /password authentication failed.*correct user and password/],
      [{ database: 'nowhere' }, /database "nowhere" does not exist.*createdb -O keeper nowhere/],
      [{ port: 1 }, /refused.*start PostgreSQL there, or correct host and port/]
    ]) {
      const refused = await Server.prepare({ extra: { storage: postgres.storage('late', options) } })
      atEnd(t, () => refused.discard())
      refused.spawn()
      refused.expectExit = true
      assert.deepEqual(await within('the end', refused.exited, 15000), { code: 1, signal: null })
      assert.match(refused.log, words)
    }
  })
})

/** Exactly what upstream's connector sends, release 3 and before. */
const UPSTREAM = `
  CREATE SCHEMA ds;
  CREATE FUNCTION broadcast_update() RETURNS trigger AS $$
    DECLARE id text;
    BEGIN
      IF TG_OP = 'DELETE' THEN id = OLD.id; ELSE id = NEW.id; END IF;
      EXECUTE 'NOTIFY "' || TG_TABLE_SCHEMA || '", ''' || TG_OP || ':' || TG_TABLE_NAME || ':' || id || ''';';
      RETURN NULL;
    END; $$ LANGUAGE plpgsql;
  CREATE TABLE ds.three (id text NOT NULL, version int DEFAULT 0, val text NOT NULL, PRIMARY KEY (id));
  CREATE TRIGGER broadcast_update_ds_three AFTER INSERT OR UPDATE OR DELETE ON ds.three FOR EACH ROW EXECUTE PROCEDURE broadcast_update();
  INSERT INTO ds.three VALUES ('a', 7, '{"three":true}'), ('list', 2, '["x","y"]'), ('text', 4, '"said by others"');
  CREATE TABLE ds.two (id text NOT NULL, val text NOT NULL, PRIMARY KEY (id));
  INSERT INTO ds.two VALUES ('a', '{"_v":5,"_d":{"two":true}}'), ('b', '{"_d":["l"],"_v":6}'), ('bad', 'no JSON');
  CREATE TABLE ds."default" (id text NOT NULL, val jsonb NOT NULL, PRIMARY KEY (id));
  INSERT INTO ds."default" VALUES ('a', '{"_v":9,"_d":{"one":true}}');`

describe('what others wrote', () => {
  test('tables of all releases of upstream are read, and written on', async (t) => {
    const storage = await postgres.database('upstream')
    await postgres.sql(UPSTREAM, 'upstream')
    const server = await onStorage(t, storage)
    const client = await loggedIn(t, server)
    const read = async (name) => {
      const record = await ready(client, name)
      return [record.version, record.get()]
    }
    assert.deepEqual(await read('three/a'), [7, { three: true }])
    assert.deepEqual((await readyList(client, 'three/list')).getEntries(), ['x', 'y'])
    assert.deepEqual(await read('three/text'), [4, 'said by others'])
    assert.deepEqual(await read('two/a'), [5, { two: true }])
    assert.deepEqual(await read('a'), [9, { one: true }])
    // One row that is no record does not hide its neighbours.
    const raw = await Raw.login(t, server)
    for (const name of ['two/bad', 'two/b']) raw.record(RECORD.HEAD, { name, correlationId: name })
    const heads = [await raw.take(), await raw.take()]
    assert.equal(heads.find(({ name }) => name === 'two/b').version, 6)
    assert.equal(heads.find(({ name }) => name === 'two/bad').action, RECORD.RECORD_LOAD_ERROR)

    await (await ready(client, 'three/a')).setWithAck('more', 1)
    await (await ready(client, 'two/a')).setWithAck('more', 2)
    await (await ready(client, 'a')).setWithAck('more', 3)
    const [[, version, value]] = await postgres.sql('SELECT id, version, val FROM ds.three WHERE id = \'a\'', 'upstream')
    assert.deepEqual([version, JSON.parse(value)], ['8', { three: true, more: 1 }])
    assert.deepEqual(await rows('upstream', 'two'), [
      ['a', '6', '{"two":true,"more":2}'], ['b', '', '{"_d":["l"],"_v":6}'], ['bad', '', 'no JSON']
    ])
    assert.deepEqual(await rows('upstream', 'default'), [['a', '10', '{"one": true, "more": 3}']])

    // A row of the old kind in a table of the new kind.
    client.close()
    await server.end()
    await server.launch()
    const next = await loggedIn(t, server)
    assert.deepEqual((await readyList(next, 'two/b')).getEntries(), ['l'])
    assert.equal(await within('head', next.record.head('two/a')), 6)
  })

  test('a row changed by SQL reaches every subscriber after a notify, a removed one too', async (t) => {
    const server = await onDatabase(t, 'notify')
    const [one, two, three] = [await loggedIn(t, server), await loggedIn(t, server), await loggedIn(t, server)]
    const [writer, reader] = [await ready(one, 'outside/a'), await ready(two, 'outside/a')]
    await writer.setWithAck({ from: 'us' })
    await (await ready(one, 'outside/gone')).setWithAck({ from: 'us' })
    const gone = await ready(two, 'outside/gone')
    const deleted = new Promise((resolve) => gone.once('delete', resolve))
    await untilVersion(reader, 1)
    const raw = await Raw.login(t, server)
    await raw.ask(TOPIC.RECORD, { action: RECORD.SUBSCRIBEANDREAD, names: ['outside/a'], correlationId: '1' }, { action: RECORD.READ_RESPONSE })
    await postgres.sql('UPDATE ds.outside SET version = 12, val = \'{"from":"them","more":true}\' WHERE id = \'a\'; DELETE FROM ds.outside WHERE id = \'gone\'; INSERT INTO ds.outside VALUES (\'new\', 3, \'{"new":true}\')', 'notify')
    await within('the notify', three.record.notify(['outside/a', 'outside/gone', 'outside/new']))
    for (const record of [writer, reader]) {
      await untilData(record, { from: 'them', more: true })
      assert.equal(record.version, 12)
    }
    const told = await raw.next({ topic: TOPIC.RECORD, name: 'outside/a' })
    assert.deepEqual([told.action, told.version, JSON.parse(told.data)], [RECORD.UPDATE, 12, { from: 'them', more: true }])
    assert.deepEqual((await raw.untilPong()).filter(({ name }) => name === 'outside/a'), [], 'told once')
    await within('the removal', deleted)
    assert.deepEqual(await within('a read', three.record.snapshot('outside/new')), { new: true })
    // And the next write builds on what they wrote.
    await writer.setWithAck('from', 'us again')
    assert.deepEqual(await postgres.sql('SELECT version, val FROM ds.outside WHERE id = \'a\'', 'notify'), [['13', '{"from":"us again","more":true}']])
  })

  test('whoever listens to the schema is told what changes', async (t) => {
    const server = await onDatabase(t, 'listening', { notifications: { INSERT: true, DELETE: true } })
    const client = await loggedIn(t, server)
    await (await ready(client, 'it\'s/a')).setWithAck({ a: 1 })
    const events = await postgres.sql('SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal', 'listening')
    assert.equal(events.length, 1)
    assert.equal(events[0][0], 'broadcast_update_ds_it\'s')
    assert.match(events[0][1], /AFTER INSERT OR DELETE ON ds\."it's" FOR EACH ROW EXECUTE FUNCTION ds\.broadcast_update\(\)/)
    const told = await postgres.sql(['LISTEN ds', 'INSERT INTO ds."it\'s" VALUES (\'b\'\'s:c\', 1, \'{}\')', 'DELETE FROM ds."it\'s"'], 'listening')
    const payloads = told.map(([line]) => /with payload "(.*)" received/.exec(line)?.[1])
    assert.deepEqual(payloads.sort(), ['DELETE:it\'s:a', 'DELETE:it\'s:b\'s:c', 'INSERT:it\'s:b\'s:c'])
  })
})

test('users of the storage log in from the database', async (t) => {
  const auth = [{ type: 'storage', options: { table: 'users', createUser: true, hash: 'sha256', iterations: 10, keyLength: 32 } }]
  const server = await onDatabase(t, 'accounts', {}, { auth })
  const ann = await loggedIn(t, server, {}, { username: 'ann', password: 'secret' })
  const [[id, version, value]] = await rows('accounts', 'users')
  assert.deepEqual([id, version, JSON.parse(value).username], ['ann', '1', 'ann'])
  ann.close()
  await server.end()
  await server.launch()
  await loggedIn(t, server, {}, { username: 'ann', password: 'secret' })
  const refused = await loggedIn(t, server, {}, { username: 'ann', password: 'wrong' }).then(() => false, () => true)
  assert.ok(refused, 'a wrong password is refused')
})

test('what was accepted under a larger limit of nesting is read under a smaller one', async (t) => {
  const storage = await postgres.database('deep')
  const deep = JSON.parse('['.repeat(150) + ']'.repeat(150))
  const before = await onStorage(t, storage, { limits: { nestingMax: 200 } })
  const writer = await loggedIn(t, before)
  await (await ready(writer, 'deep/a')).setWithAck({ deep })
  writer.close()
  await before.end()
  for (const limits of [{ nestingMax: 200 }, {}]) {
    const server = await onStorage(t, storage, { limits })
    const client = await loggedIn(t, server)
    assert.deepEqual(await within('the record', client.record.snapshot('deep/a')), { deep })
    client.close()
    await server.end()
  }
})

test('a database whose encoding takes two names for one is refused', async (t) => {
  await postgres.sql('CREATE DATABASE merged ENCODING \'EUC_JP\' LOCALE \'C\' TEMPLATE template0')
  await assert.rejects(onStorage(t, postgres.storage('merged')), /its encoding is EUC_JP, in which two names may become one/)
})
