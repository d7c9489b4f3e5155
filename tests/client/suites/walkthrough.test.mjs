// What every newcomer does first, in the order they do it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import deepstream from '@deepstream/client'
import { Server } from '../helpers/server.mjs'
import { until } from '../helpers/until.mjs'

const { DeepstreamClient } = deepstream
let server
const clients = []
before(async () => { server = await Server.start() })
after(async () => {
  clients.forEach((client) => client.close())
  await server.discard()
})

/** A client with the library's own defaults. */
async function connect () {
  const client = new DeepstreamClient(server.url)
  clients.push(client)
  await client.login()
  return client
}

test('connect, share a record, publish an event', async () => {
  const driver = await connect()
  const dispatcher = await connect()
  const map = await connect()

  const mine = driver.record.getRecord('driver/14')
  await mine.whenReady()
  const documents = []
  dispatcher.record.getRecord('driver/14').subscribe((data) => documents.push(data))
  const positions = []
  map.record.getRecord('driver/14').subscribe('position', (data) => positions.push(data))
  await dispatcher.record.getRecord('driver/14').whenReady()
  await map.record.getRecord('driver/14').whenReady()

  await mine.setWithAck({ name: 'Anna', position: { x: 1, y: 2 }, speed: 30 })
  await mine.setWithAck('position.x', 5)
  await mine.setWithAck('speed', 31)
  await until('the dispatcher has seen everything', () => documents.at(-1)?.speed === 31)
  await until('the map has seen the move', () => positions.at(-1)?.x === 5)
  assert.deepEqual(documents.filter((data) => Object.keys(data).length > 0), [
    { name: 'Anna', position: { x: 1, y: 2 }, speed: 30 },
    { name: 'Anna', position: { x: 5, y: 2 }, speed: 30 },
    { name: 'Anna', position: { x: 5, y: 2 }, speed: 31 }
  ])
  assert.deepEqual(positions, [{ x: 1, y: 2 }, { x: 5, y: 2 }])

  const happened = []
  dispatcher.event.subscribe('something-happened', (data) => happened.push(data))
  await until('the event arrives', () => {
    if (happened.length === 0) driver.event.emit('something-happened', { what: 'lunch' })
    return happened.length > 0
  }, { every: 50 })
  assert.deepEqual(happened[0], { what: 'lunch' })
})

test('provide a procedure, call it, and let another take it over', async () => {
  const first = await connect()
  const second = await connect()
  const caller = await connect()
  const addTwo = (who) => (data, response) => {
    askedOf.push(who)
    response.send(data + 2)
  }
  const askedOf = []
  const add = () => until('somebody adds', () => caller.rpc.make('add-two', 5).catch((error) => {
    // Nobody, until the server knows the one who provides it.
    assert.equal(error, 'NO_RPC_PROVIDER')
  }), { every: 20 })

  first.rpc.provide('add-two', addTwo('first'))
  assert.equal(await add(), 7)
  second.rpc.provide('add-two', addTwo('second'))
  await until('the second is asked as well', async () => {
    assert.equal(await add(), 7)
    return askedOf.includes('second')
  }, { every: 20 })
  first.close()
  await until('the second has taken over', async () => {
    askedOf.length = 0
    const answers = await Promise.all(Array.from({ length: 10 }, add))
    assert.deepEqual(answers, answers.map(() => 7))
    return !askedOf.includes('first')
  })
})

test('see who is online', async () => {
  const watcher = await connect()
  const seen = []
  watcher.presence.subscribe((name, online) => seen.push([name, online]))
  await until('somebody is seen to come and go', async () => {
    const ann = new DeepstreamClient(server.url)
    clients.push(ann)
    await ann.login({ username: 'ann' })
    assert.ok((await watcher.presence.getAll()).includes('ann'))
    assert.deepEqual(await watcher.presence.getAll(['ann', 'bob']), { ann: true, bob: false })
    ann.close()
    await until('ann has left', async () => !(await watcher.presence.getAll(['ann'])).ann)
    return seen.length >= 2
  })
  assert.deepEqual(seen.slice(-2), [['ann', true], ['ann', false]])
})
