// Names that look like journals, a full disk, a directory that is moved: writes go on as soon as they can, without a
// restart, and a restart finds everything that was acknowledged.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { atEnd, until } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

const ROUNDS = Number(process.env.DEEPSTREAM_DISK_ROUNDS ?? 3)
/** Room enough to open again, write and answer. */
const PATIENCE = { deadline: 30000, every: 20 }

/**
 * A whole batch of the store's journal, with the number 2^40: start, one item, end, checksum, magic. Its item is called 0334,
 * because then the checksum, as the rest, is UTF-8, and so may be in a name.
 */
const JOURNAL = Buffer.from('0101000000000000000001000002000001000000000000000400000000000000000030333334032e3d1e7b10000f0d464a4c03', 'hex')

/** A file system of its own that is as small as that; nothing without the right to mount. */
async function smallDisk (t, size) {
  const place = await mkdtemp(path.join(os.tmpdir(), 'deepstream-disk-'))
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', place]).status !== 0) return undefined
  atEnd(t, async () => {
    spawnSync('umount', ['-l', place])
    await rm(place, { recursive: true, force: true })
  })
  return place
}

let serial = 0

/** Writes and answers whether it was acknowledged. */
async function write (raw, name, data) {
  const correlationId = `write ${++serial}`
  raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify(data), isWriteAck: true, correlationId })
  const { action } = await raw.next({ correlationId }, 30000)
  return action === RECORD.WRITE_ACKNOWLEDGEMENT
}

async function read (raw, name) {
  raw.record(RECORD.READ, { name })
  return JSON.parse((await raw.take(30000)).data)
}

describe('the store', () => {
  test('a full disk and names that are journals', async (t) => {
    const place = await smallDisk(t, '100m')
    if (!place) return t.skip('needs the right to mount a tmpfs (root)')
    const options = { data: path.join(place, 'store'), extra: { record: { storageRetrievalTimeout: 5000 } } }
    const server = await serverFor(t, options)
    let raw = await Raw.login(t, server)
    const ballast = path.join(place, 'ballast')
    const known = new Map()
    for (let round = 0; round < ROUNDS; round++) {
      const free = Number(spawnSync('df', ['--output=avail', '-k', place]).stdout.toString().split('\n')[1])
      await writeFile(ballast, Buffer.alloc(Math.max(0, free - 1500) * 1024, 1))
      let failures = 0
      for (let turn = 0; failures < 5; turn++) {
        assert.ok(turn < 200, 'the disk fills')
        // A few at a time and each long enough to be cut in its middle, behind its name.
        const name = Buffer.concat([JOURNAL, Buffer.from(String(turn % 7))])
        const data = { round, turn, filler: 'x'.repeat(90000 + turn * 1000) }
        if (await write(raw, name, data)) known.set(name.toString('latin1'), { name, data })
        else {
          failures++
          // What failed may be there or not, and stays in memory.
          known.delete(name.toString('latin1'))
        }
      }
      await rm(ballast)
      await until('it is written again, without a restart', () => write(raw, Buffer.from('room'), { round }), PATIENCE)
      for (const { name, data } of known.values()) assert.deepEqual(await read(raw, name), data)
      await server.end('SIGKILL')
      await server.launch()
      raw = await Raw.login(t, server)
      for (const { name, data } of known.values()) assert.deepEqual(await read(raw, name), data)
      assert.deepEqual(await read(raw, Buffer.from('room')), { round })
    }
    assert.doesNotMatch(server.log, /it is damaged/)
  })

  test('a directory that is moved away or replaced is noticed at the next write', async (t) => {
    const server = await serverFor(t)
    const raw = await Raw.login(t, server)
    assert.ok(await write(raw, 'before', { a: 1 }))
    const away = `${server.data}.away`
    for (const replaced of [false, true]) {
      await rename(server.data, away)
      if (replaced) await mkdir(server.data)
      assert.equal(await write(raw, 'meanwhile', { replaced }), false, 'nobody will find this again')
      await until('the log says so', () => /deleted or moved away; put it back, or restart the server/.test(server.log))
      if (replaced) await rm(server.data, { recursive: true })
      await rename(away, server.data)
      await until('writes go on', () => write(raw, 'after', { replaced }), PATIENCE)
    }
    await server.end('SIGKILL')
    await server.launch()
    const again = await Raw.login(t, server)
    again.record(RECORD.READ, { name: 'after' })
    assertFields(await again.take(), { action: RECORD.READ_RESPONSE, data: '{"replaced":true}' })
  })
})
