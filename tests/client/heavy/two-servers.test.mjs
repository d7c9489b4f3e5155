// Two servers on one database, by mistake or because one was started in the place of another: they are told apart, and
// nothing that was acknowledged is lost.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Flood } from '../helpers/flood.mjs'
import { Postgres } from '../helpers/postgres.mjs'
import { Raw } from '../helpers/raw.mjs'
import { Server } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

let postgres
before(async () => { postgres = await Postgres.start() })
after(() => postgres?.discard())

/** A server of this name, which is not started yet. */
async function named (t, serverName, storage) {
  const server = await Server.prepare({ extra: { serverName, storage, dependencyInitializationTimeout: 10000 } })
  atEnd(t, () => server.discard())
  return server
}

/** Writes a record, and waits for the acknowledgement. */
async function write (raw, name, data) {
  raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data, isWriteAck: true, correlationId: name })
  await until(`${name} is acknowledged`, () => raw.received.some((message) => message.action === RECORD.WRITE_ACKNOWLEDGEMENT && message.correlationId === name))
}

const value = async (database, table, id) => {
  const rows = await postgres.sql(`SELECT id, val FROM ds."${table}"`, database).catch(() => [])
  return rows.find(([found]) => found === id)?.[1]
}

describe('two servers on one database', () => {
  test('the second is told who has it, and does not start; the first goes on', async (t) => {
    const storage = await postgres.database('both')
    const first = await named(t, 'the "first"', storage)
    await first.launch()
    const second = await named(t, 'second', storage)
    second.spawn()
    second.expectExit = true
    assert.deepEqual(await within('the second to end', second.exited), { code: 1, signal: null })
    assert.match(second.log, new RegExp(`the server the "first" on \\S+ \\(process ${first.pid}\\) writes to it; stop that server first, or give this one a database of its own`))
    await write(await Raw.login(t, first), 'both/1', '{"n":1}')
    assert.equal(await value('both', 'both', '1'), '{"n":1}')
    await first.end()

    const third = await named(t, 'third', storage)
    await third.launch()
    assert.doesNotMatch(third.log, /taken over|waiting to see/, 'one that has ended in order leaves its place')
    await third.end()
  })

  test('after kill -9 the next takes the place of the first at once', async (t) => {
    const storage = await postgres.database('killed')
    const first = await named(t, 'first', storage)
    await first.launch()
    await write(await Raw.login(t, first), 'killed/1', '{"n":1}')
    const { pid } = first
    await first.end('SIGKILL')
    await first.launch()
    assert.match(first.log, new RegExp(`taken over from the server first on \\S+ \\(process ${pid}\\), which is gone`))
    assert.doesNotMatch(first.log, /waiting to see/)
    await write(await Raw.login(t, first), 'killed/1', '{"n":2}')
    assert.equal(await value('killed', 'killed', '1'), '{"n":2}')
  })

  test('one that is frozen is put out by the next; once it goes on it writes nothing, acknowledges nothing, and ends', async (t) => {
    const storage = await postgres.database('frozen')
    const first = await named(t, 'first', storage)
    await first.launch()
    const raw = await Raw.login(t, first)
    const flood = new Flood(raw, Array.from({ length: 20 }, (_, i) => `flood/${i}`))
    await until('writes are under way', () => flood.sent > 200 && flood.acked.size === 20)
    first.child.kill('SIGSTOP')
    first.expectExit = true
    for (let i = 0; i < 20; i++) flood.write(`late/${i}`)

    const second = await named(t, 'second', storage)
    await second.launch()
    assert.match(second.log, new RegExp(`taken over from the server first on \\S+ \\(process ${first.pid}\\), which has not shown itself for 3 seconds`))
    const other = await Raw.login(t, second)
    await write(other, 'flood/0', '{"by":"second"}')

    first.child.kill('SIGCONT')
    assert.deepEqual(await within('the first to end', first.exited), { code: 1, signal: null })
    assert.match(first.log, /STORAGE \| .*(the server second on \S+ \(process \d+\)|another server) has taken it over .*This server ends/)
    await write(other, 'flood/1', '{"by":"second"}')
    assert.equal(await value('frozen', 'flood', '0'), '{"by":"second"}')
    assert.equal(await value('frozen', 'flood', '1'), '{"by":"second"}')
    for (const [name, n] of flood.acked) {
      const [table, id] = name.split('/')
      assert.equal(table, 'flood', `${name} was acknowledged by a server that was put out`)
      const stored = await value('frozen', table, id)
      assert.ok(id < 2 || JSON.parse(stored).n >= n, `${name}: ${stored} is older than ${n}, which was acknowledged`)
    }
    assert.equal(await value('frozen', 'late', '0'), undefined)
    assert.equal(second.running, true)
  })
})
