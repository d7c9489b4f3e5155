// Redis as a cache before PostgreSQL: whatever becomes of it, what was acknowledged is stored and no record goes back.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { Engine } from '../helpers/engines.mjs'
import { Flood } from '../helpers/flood.mjs'
import { Postgres } from '../helpers/postgres.mjs'
import { Raw } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'

let postgres, redis
before(async () => { [postgres, redis] = await Promise.all([Postgres.start(), Engine.start('redis')]) })
after(() => Promise.all([postgres?.discard(), redis?.discard()]))

const say = async (...words) => (await redis.tool('redis-cli', ['-h', redis.address, '-p', String(redis.port), ...words])).trimEnd()

/** A server that keeps little in memory. */
async function behind (t, name) {
  const storage = await postgres.database(name)
  const cache = { name: 'redis', options: { host: redis.address, port: redis.port, keyPrefix: `${name}:`, commandTimeout: 1000 } }
  const server = await Server.start({ extra: { storage, cache, record: { memoryBytesMax: 1 << 20 }, dependencyInitializationTimeout: 10000 } })
  atEnd(t, () => server.discard())
  return server
}

/** Writes a record until that is in the cache: one that is slow for a moment is not told. Answers what was written. */
async function cached (record, key) {
  let n = 0
  await until(`${key} is cached`, async () => {
    await record.setWithAck({ n: ++n })
    return await say('GET', `${key}_d`) === `{"n":${n}}`
  })
  return n
}

const rows = async (database, table) => new Map(await postgres.sql(`SELECT id, val FROM ds."${table}"`, database))

/** Every record that the flood wrote is at least as new as was acknowledged, for clients and in the database. */
async function nothingIsLost (t, server, flood, database) {
  const stored = await rows(database, 'cached')
  const client = await loggedIn(t, server)
  for (const [name, n] of flood.acked) {
    const [, id] = name.split('/')
    assert.ok(JSON.parse(stored.get(id)).n >= n, `${name}: ${stored.get(id)} is stored, ${n} was acknowledged`)
    const seen = await within(name, client.record.snapshot(name))
    assert.ok(seen.n >= n, `${name}: ${seen.n} is seen, ${n} was acknowledged`)
  }
}

describe('a cache before a database', () => {
  test('what is written is in both, and what is cached spares the database a lookup', async (t) => {
    const server = await behind(t, 'both')
    assert.match(server.log, /storage ready: PostgreSQL, database .*, behind a cache: Redis, database 0 at /)
    const client = await loggedIn(t, server)
    const record = await ready(client, 'cached/a')
    const n = await cached(record, 'both:cached/a')
    record.discard()
    assert.equal((await rows('both', 'cached')).get('a'), `{"n":${n}}`)
    const others = Array.from({ length: 8 }, (_, i) => `cached/large${i}`)
    for (const name of others) await within(name, client.record.setDataWithAck(name, { text: 'x'.repeat(300000) }))
    await until('it has left memory, and is asked for', async () => {
      for (const name of others) await within(name, client.record.snapshot(name))
      // Only who asks the cache first can see this.
      await say('SET', 'both:cached/a_d', '{"n":"cached"}')
      return (await within('the snapshot', client.record.snapshot('cached/a'))).n === 'cached'
    })
    // One that the cache had from before has no stamp.
    await say('MSET', 'both:cached/b_v', '9', 'both:cached/b_d', '{}')
    assert.equal(await within('has', client.record.has('cached/b')), false)
  })

  test('killed, frozen and emptied under load, and kill -9 of the server: nothing is lost and nothing goes back', async (t) => {
    const server = await behind(t, 'load')
    const raw = await Raw.login(t, server)
    const flood = new Flood(raw, Array.from({ length: 40 }, (_, i) => `cached/${i}`))
    const goesOn = async (what) => {
      const before = flood.sent
      await until(`writes go on: ${what}`, () => flood.sent > before + 300)
    }
    /** What is done makes the log say this once more. */
    const leads = async (text, act) => {
      const times = () => server.log.split(text).length
      const before = times()
      await act()
      await until(`the log says: ${text}`, () => times() > before)
    }
    const [lost, back] = ['which takes longer; nothing else changes', 'is back, and counts as empty']
    await until('all are written', () => flood.acked.size === 40)
    await leads(lost, () => redis.kill())
    await goesOn('without a cache')
    await leads(back, () => redis.launch())
    await goesOn('with it again')
    await say('FLUSHALL')
    await goesOn('emptied')
    await leads(lost, () => redis.freeze())
    await goesOn('with a frozen cache')
    await leads(back, () => redis.thaw())
    await goesOn('thawed')

    await server.end('SIGKILL')
    // Whatever the cache has from before is older than what the database has now.
    for (let i = 0; i < 40; i++) await say('SET', `load:cached/${i}_d`, '{"n":-1}')
    await server.launch()
    await nothingIsLost(t, server, flood, 'load')
  })

  test('a server starts while its cache is away, and asks it once it is there', async (t) => {
    await redis.kill()
    const server = await behind(t, 'late')
    const client = await loggedIn(t, server)
    const record = await ready(client, 'cached/a')
    await record.setWithAck({ n: 0 })
    await redis.launch()
    await until('it is there', () => server.log.includes('is back, and counts as empty'))
    await cached(record, 'late:cached/a')
  })
})
