// Clients cannot reach the records in which authentication keeps its users.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { loggedIn } from '../helpers/clients.mjs'
import { post } from '../helpers/http.mjs'
import { connected, mqttServer } from '../helpers/mqtt.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { AUTH, RECORD, TOPIC } from '../helpers/wire.mjs'

const table = { type: 'storage', options: { table: 'users', createUser: true, hash: 'sha256', iterations: 10, keyLength: 32 } }
const all = { create: true, read: true, write: true, delete: true, listen: true, notify: true }
const open = {
  record: { '*': all },
  event: { '*': { publish: true, subscribe: true, listen: true } },
  rpc: { '*': { provide: true, request: true } },
  presence: { '*': { allow: true } }
}
const ruled = (record) => ({ type: 'config', options: { permissions: { ...open, record: { ...open.record, ...record } } } })

const serverWith = (t, permission, auth = [table]) => mqttServer(t, { memory: false, extra: { auth, permission } })
const ann = { username: 'ann', password: 'of ann' }
const eve = { username: 'eve', password: 'of eve' }

async function entered (t, server, credentials) {
  const raw = await Raw.challenged(server)
  atEnd(t, () => raw.terminate())
  raw.send(TOPIC.AUTH, { action: AUTH.REQUEST, data: JSON.stringify(credentials) })
  raw.login = await raw.take()
  return raw
}

const enters = async (t, server, credentials) => (await entered(t, server, credentials)).login.action === AUTH.AUTH_SUCCESSFUL
const FORGED = JSON.stringify({ username: 'ann', password: 'x', clientData: { id: 'ann' }, serverData: { admin: true } })
const version = { version: -1, isWriteAck: true }

describe('records of users', () => {
  for (const [title, permission] of [['without rules', { type: 'none' }], ['with rules that allow everything', ruled({})], ['with a rule for every table', ruled({ '$table/$name': all })]]) {
    test(`are nobody's ${title}`, async (t) => {
      const server = await serverWith(t, permission)
      assert.ok(await enters(t, server, ann))
      const thief = await entered(t, server, eve)
      assert.equal(thief.login.action, AUTH.AUTH_SUCCESSFUL)
      const single = { READ: {}, HEAD: { correlationId: '1' }, UPDATE: { data: FORGED, ...version, correlationId: '2' }, PATCH: { path: 'password', data: '"x"', ...version, correlationId: '3' }, CREATEANDUPDATE: { data: FORGED, ...version, correlationId: '4' }, CREATEANDPATCH: { path: 'password', data: '"x"', ...version, correlationId: '5' }, ERASE: { path: 'password', version: 2, correlationId: '6' }, DELETE: {} }
      for (const [action, fields] of Object.entries(single)) {
        assertFields(await thief.ask(TOPIC.RECORD, { action: RECORD[action], name: 'users/ann', ...fields }, { name: 'users/ann' }), { action: RECORD.MESSAGE_DENIED, originalAction: RECORD[action] })
      }
      for (const action of ['SUBSCRIBECREATEANDREAD', 'SUBSCRIBEANDREAD', 'SUBSCRIBEANDHEAD', 'SUBSCRIBE', 'NOTIFY']) {
        thief.record(RECORD[action], { names: ['users/ann'], correlationId: action })
        const denial = await thief.next({ topic: TOPIC.RECORD, action: RECORD.MESSAGE_DENIED })
        assertFields(denial, { name: 'users/ann', originalAction: RECORD[action] })
      }
      thief.record(RECORD.LISTEN, { name: 'users/.*', correlationId: 'l' })
      await thief.next({ action: RECORD.MESSAGE_DENIED, originalAction: RECORD.LISTEN })
      // As a list, and over HTTP.
      const login = { authData: eve }
      const recordName = 'users/ann'
      const { json } = await post(server, {
        ...login,
        body: [
          { topic: 'record', action: 'read', recordName }, { topic: 'record', action: 'write', recordName, data: JSON.parse(FORGED) },
          { topic: 'record', action: 'head', recordName }, { topic: 'record', action: 'delete', recordName }, { topic: 'record', action: 'notify', recordNames: [recordName] },
          { topic: 'list', action: 'read', listName: recordName }, { topic: 'list', action: 'write', listName: recordName, data: ['x'] }, { topic: 'list', action: 'delete', listName: recordName }
        ]
      })
      assert.deepEqual(json.body.map(({ success }) => success), Array(8).fill(false), JSON.stringify(json))
      assert.ok(!JSON.stringify(json).includes('password'))
      // MQTT: what is retained is a record.
      const client = await connected(t, server, { protocolVersion: 5, ...eve, clientId: 'eve' })
      const failure = await client.publishAsync('users/ann', FORGED, { qos: 1, retain: true }).then(() => undefined, (error) => error)
      assert.ok(failure, 'it is refused')
      await client.publishAsync('users/ann', '', { qos: 1, retain: true }).catch(() => undefined)
      await client.subscribeAsync(['users/ann', 'users/+', '#']).catch(() => undefined)
      await client.publishAsync('other/x', '{"a":1}', { qos: 1, retain: true })
      await until('others are told', () => client.heard.some(([topic]) => topic === 'other/x') || client.heard.length === 0)
      assert.deepEqual(client.heard.filter(([topic]) => topic.startsWith('users/')), [])
      assert.ok(await enters(t, server, ann), 'ann is who she was')
      assert.equal(await enters(t, server, { ...ann, password: 'x' }), false)
      assert.match(server.log, /STORAGE_AUTH \| records below users\/ are authentication's: nobody reads, writes, deletes or listens to them/)
    })
  }

  test('are what a rule says that names their table, also after it was read again', async (t) => {
    const server = await Server.prepare({ extra: { auth: [table], permission: { type: 'config', options: { permissions: 'fileLoad(permissions.yml)' } } } })
    atEnd(t, () => server.discard())
    const put = (record) => writeFileSync(path.join(server.directory, 'permissions.yml'), JSON.stringify({ ...open, record: { ...open.record, ...record } }))
    put({})
    await server.launch()
    assert.ok(await enters(t, server, ann))
    const thief = await entered(t, server, eve)
    const read = () => thief.ask(TOPIC.RECORD, { action: RECORD.READ, name: 'users/ann' }, { name: 'users/ann' })
    assertFields(await read(), { action: RECORD.MESSAGE_DENIED })
    const again = async (record, count) => {
      put(record)
      server.child.kill('SIGHUP')
      await until('the rules were read again', () => server.log.split('the configuration was read again').length > count)
    }
    await again({ 'users/*': { read: true } }, 1)
    await until('it may be read', async () => (await read()).action === RECORD.READ_RESPONSE)
    assertFields(await thief.ask(TOPIC.RECORD, { action: RECORD.DELETE, name: 'users/ann' }, { name: 'users/ann' }), { action: RECORD.MESSAGE_DENIED })
    await again({ '$table/*': { read: true } }, 2)
    await until('it may not be read', async () => (await read()).action === RECORD.MESSAGE_DENIED)
    const client = await loggedIn(t, server, {}, eve)
    assert.equal(await client.record.has('others/ann'), false)
  })

  test('are of one table each, which keeps them', async (t) => {
    const refused = async (auth, words) => {
      const server = await Server.prepare({ extra: { auth } })
      atEnd(t, () => server.discard())
      server.spawn()
      server.expectExit = true
      assert.equal((await within('the end', server.exited)).code, 78, server.log)
      assert.match(server.log, words)
    }
    const other = { ...table, options: { ...table.options, table: 'users/admins' } }
    await refused([table, other], /auth\[1\]\.options\.table: the table lies below users, in which another entry keeps its users/)
  })
})

test('a name that is empty, too long or deeper than a user is registered for nobody', async (t) => {
  const server = await serverWith(t, { type: 'none' })
  for (const username of ['', 'a/b', '/', 'x'.repeat(2048 - 'users'.length), 'x'.repeat(10000)]) {
    const { login } = await entered(t, server, { username, password: 'p' })
    assert.equal(login.action, AUTH.AUTH_UNSUCCESSFUL, username)
    assert.match(JSON.parse(login.data).error, /^This username cannot be registered: it /)
  }
  assert.ok(await enters(t, server, { username: 'x'.repeat(2048 - 'users/'.length), password: 'p' }))
})
