// Records in Redis: how they are stored, what survives a crash of the server or of Redis, and keys that other programs
// wrote.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { CacheConnector } from '@deepstream/cache-redis'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { Engine } from '../helpers/engines.mjs'
import { Flood } from '../helpers/flood.mjs'
import { Raw } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'

/** What is acknowledged is on its disk. */
const DURABLE = { appendonly: 'yes', appendfsync: 'always' }

let redis
before(async () => { redis = await Engine.start('redis', { settings: DURABLE }) })
after(() => redis?.discard())

const say = async (...words) => (await redis.tool('redis-cli', ['-h', redis.address, '-p', String(redis.port), ...words])).trimEnd()

/** A server that keeps its records in Redis, under a prefix of this test. */
async function onRedis (t, keyPrefix, section = 'storage') {
  const kept = { name: 'redis', options: { host: redis.address, port: redis.port, keyPrefix, commandTimeout: 1000 } }
  const server = await Server.start({ extra: { storage: undefined, [section]: kept, dependencyInitializationTimeout: 10000 } })
  atEnd(t, () => server.discard())
  return server
}

describe('keeping', () => {
  for (const section of ['storage', 'cache']) {
    test(`what clients write is under the keys of its name, and there for the next server (${section})`, async (t) => {
      const prefix = `round-${section}:`
      const server = await onRedis(t, prefix, section)
      const client = await loggedIn(t, server)
      const user = await ready(client, 'users/ann')
      await user.setWithAck({ name: 'Ann', words: ['a "quote"', '\\', 'é🙂'] })
      await user.setWithAck('address.city', 'Bern')
      const gone = await ready(client, 'users/gone')
      await gone.setWithAck({ here: true })
      gone.delete()
      const ann = { name: 'Ann', words: ['a "quote"', '\\', 'é🙂'], address: { city: 'Bern' } }
      await until('the removal is in Redis', async () => await say('EXISTS', `${prefix}users/gone_v`, `${prefix}users/gone_d`) === '0')
      assert.equal(await say('GET', `${prefix}users/ann_v`), '2')
      assert.deepEqual(JSON.parse(await say('GET', `${prefix}users/ann_d`)), ann)

      client.close()
      await server.end()
      await server.launch()
      const next = await loggedIn(t, server)
      const again = await ready(next, 'users/ann')
      assert.deepEqual([again.version, again.get()], [2, ann])
      assert.equal(await within('has', next.record.has('users/gone')), false)
    })
  }

  test('what upstream wrote is read, in the form of its release 1 too, but no value as a record', async (t) => {
    await say('MSET', 'of:new_v', '4', 'of:new_d', '{"by":"upstream"}', 'of:old', '{"_v":7,"_d":{"by":"release 1"}}')
    const server = await onRedis(t, 'of:')
    const client = await loggedIn(t, server)
    for (const [name, version, by] of [['new', 4, 'upstream'], ['old', 7, 'release 1']]) {
      const record = await ready(client, name)
      assert.deepEqual([record.version, record.get()], [version, { by }])
      await record.setWithAck('more', true)
      assert.equal(await say('GET', `of:${name}_v`), String(version + 1))
    }
    const forger = await ready(client, 'mine')
    await forger.setWithAck({ _v: 9, _d: { role: 'admin' } })
    assert.equal(await within('has', client.record.has('mine_d')), false)
  })

  test("deepstream.io's own connector reads what is written here, and is read", async (t) => {
    const quiet = { getNameSpace: () => ({ warn () {}, fatal: assert.fail }) }
    const options = { host: redis.address, port: redis.port, keyPrefix: 'shared:' }
    const theirs = new CacheConnector(options, { logger: quiet }, {})
    atEnd(t, () => theirs.close())
    await theirs.whenReady()
    const get = (name) => new Promise((resolve, reject) => {
      theirs.get(name, (error, version, data) => error ? reject(new Error(error)) : resolve([version, data]))
    })
    const [set, remove] = ['set', 'delete'].map((act) => promisify(theirs[act]).bind(theirs))
    const value = { name: 'Ann', words: ['a "quote"', '\\', 'é🙂'], deep: { n: [1.5, null, true] } }
    await set('theirs', 7, value)
    await set('theirs, removed', 1, value)
    await remove('theirs, removed')
    const server = await onRedis(t, 'shared:')
    const client = await loggedIn(t, server)
    const [first, list] = [await ready(client, 'theirs'), client.record.getList('list')]
    assert.deepEqual([first.version, first.get()], [7, value])
    assert.equal(await within('has', client.record.has('theirs, removed')), false)
    await first.setWithAck('deep.n', [2])
    assert.deepEqual(await get('theirs'), [8, { ...value, deep: { n: [2] } }])
    await list.whenReady()
    list.setEntries(['a', 'b'])
    await until('the list is there', async () => JSON.stringify(await get('list')) === '[1,["a","b"]]')
    const gone = await ready(client, 'ours, removed')
    await gone.setWithAck(value)
    assert.deepEqual(await get('ours, removed'), [1, value])
    gone.delete()
    await until('the removal is there', async () => (await get('ours, removed'))[0] === -1)
  })

  test('what was acknowledged survives kill -9 of the server and of Redis', async (t) => {
    const server = await onRedis(t, 'killed:')
    const raw = await Raw.login(t, server)
    const flood = new Flood(raw, Array.from({ length: 40 }, (_, i) => `kill/${i}`))
    await until('hundreds of writes are acknowledged', () => flood.sent > 600 && flood.acked.size === 40)
    await redis.kill()
    const before = flood.sent
    await redis.launch()
    await until('writes go on by themselves', () => flood.sent > before + 200)
    await server.end('SIGKILL')
    for (const [name, known] of flood.acked) {
      const value = await say('GET', `killed:${name}_d`)
      assert.ok(JSON.parse(value).n >= known, `${name}: ${value} is older than ${known}, which was acknowledged`)
    }
  })
})

describe('trouble', () => {
  test('a frozen Redis holds writes up, and they get there', async (t) => {
    const server = await onRedis(t, 'frozen:')
    const client = await loggedIn(t, server)
    const record = await ready(client, 'a')
    await record.setWithAck({ n: 1 })
    await redis.freeze()
    record.set('n', 2)
    await until('it is noticed', () => server.log.includes('no answer in time'))
    await redis.thaw()
    await until('it is stored', async () => await say('GET', 'frozen:a_d') === '{"n":2}')
    await record.setWithAck('n', 3)
    assert.equal(await say('GET', 'frozen:a_v'), '3')
  })

  test('an emptied Redis is said to be one, and written to again', async (t) => {
    const server = await onRedis(t, 'emptied:')
    const client = await loggedIn(t, server)
    const record = await ready(client, 'a')
    await record.setWithAck({ n: 1 })
    await say('FLUSHALL')
    await record.setWithAck('n', 2)
    assert.deepEqual([await say('GET', 'emptied:a_v'), await say('GET', 'emptied:a_d')], ['2', '{"n":2}'])
    assert.match(server.log, /it has lost its data/)
  })
})
