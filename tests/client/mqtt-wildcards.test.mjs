// Filters with wildcards, over all shards: names that fit are owned by any.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn, ready } from './clients.mjs'
import { connected, hears, mqttServer } from './mqtt.mjs'
import { unique, until } from './until.mjs'

for (const protocolVersion of [4, 5]) {
  describe(`wildcards of MQTT ${protocolVersion}`, () => {
    const version = { protocolVersion }

    test('one level, and all that follow', async (t) => {
      const server = await mqttServer(t)
      const [sender, one, all] = [await connected(t, server, version), await connected(t, server, version), await connected(t, server, version)]
      const base = unique('w')
      await one.subscribeAsync(`${base}/+/temperature`, { qos: 1 })
      await all.subscribeAsync(`${base}/#`, { qos: 0 })
      const topics = ['kitchen/temperature', 'hall/temperature', 'hall/light', 'hall/floor/temperature', 'x/temperature/y'].map((rest) => `${base}/${rest}`)
      for (const topic of [...topics, base]) await sender.publishAsync(topic, topic, { qos: 1 })
      await sender.publishAsync(`${base}x`, 'not', { qos: 1 })
      const sorted = (heard) => heard.map(([topic]) => topic).sort()
      assert.deepEqual(sorted(await hears(all, 6)), [...topics, base].sort())
      assert.deepEqual(sorted(await hears(one, 2)), topics.slice(0, 2).sort())
      await one.unsubscribeAsync(`${base}/+/temperature`)
      await sender.publishAsync(topics[0], 'later', { qos: 1 })
      await hears(all, 7)
      assert.equal(one.heard.length, 2)
    })

    test('events and records of other clients', async (t) => {
      const server = await mqttServer(t)
      const [device, browser] = [await connected(t, server, version), await loggedIn(t, server)]
      const base = unique('w')
      await device.subscribeAsync(`${base}/#`)
      browser.event.emit(`${base}/event`, { a: 1 })
      assert.deepEqual(await hears(device, 1), [[`${base}/event`, '{"a":1}']])
      const record = await ready(browser, `${base}/record`)
      await record.setWithAck({ x: 1 })
      await record.setWithAck('x', 2)
      await hears(device, 3)
      assert.deepEqual(device.heard.slice(1).map(([topic, payload]) => [topic, payload]), [[`${base}/record`, '{"x":1}'], [`${base}/record`, '{"x":2}']])
      await record.delete()
      assert.deepEqual((await hears(device, 4)).at(-1), [`${base}/record`, ''])
      await device.publishAsync(`${base}/kept`, '{"k":1}', { qos: 1, retain: true })
      assert.deepEqual((await hears(device, 5)).at(-1), [`${base}/kept`, '{"k":1}'], 'once, though it is an event too')
    })

    test('filters that overlap bring a message each, on its own terms', async (t) => {
      const server = await mqttServer(t)
      const browser = await loggedIn(t, server)
      // Names of every shard.
      for (let round = 0; round < 4; round++) {
        const [device, sender] = [await connected(t, server, version), await connected(t, server, version)]
        const base = unique('w')
        const filters = [[`${base}/a`, 0], [`${base}/+`, 1], [`${base}/#`, 0]]
        for (const [index, [filter, qos]] of filters.entries()) {
          await device.subscribeAsync(filter, { qos, ...(protocolVersion === 5 ? { properties: { subscriptionIdentifier: index + 1 } } : {}) })
        }
        const terms = filters.map(([, qos], index) => [qos, protocolVersion === 5 ? index + 1 : undefined]).sort()
        /** What came for each payload. */
        const told = async (...payloads) => {
          await hears(device, filters.length * payloads.length)
          for (const payload of payloads) {
            const copies = device.heard.filter(([topic, text]) => topic === `${base}/a` && text === payload)
            assert.deepEqual(copies.map(([, , { qos, properties }]) => [qos, properties?.subscriptionIdentifier]).sort(), terms, payload)
          }
          assert.equal(device.heard.splice(0).length, filters.length * payloads.length)
        }
        await sender.publishAsync(`${base}/a`, 'event', { qos: 1 })
        browser.event.emit(`${base}/a`, 'browser')
        await told('event', 'browser')
        await sender.publishAsync(`${base}/a`, '{"r":1}', { qos: 1, retain: true })
        const record = await ready(browser, `${base}/a`)
        await record.setWithAck('r', 2)
        await told('{"r":1}', '{"r":2}')
        await record.delete()
        await told('')
        await sender.publishAsync(`${base}/b/c`, 'for one of them', { qos: 1 })
        assert.deepEqual((await hears(device, 1)).splice(0), [[`${base}/b/c`, 'for one of them']])
        device.heard.splice(0)
        // Without the filters, what is subscribed by name goes on.
        for (const [filter] of filters.slice(1)) await device.unsubscribeAsync(filter)
        for (const payload of ['again', 'and again']) await sender.publishAsync(`${base}/a`, payload, { qos: 1 })
        assert.deepEqual((await hears(device, 2)).map(([, payload]) => payload), ['again', 'and again'])
      }
    })

    test('nothing is left of filters', async (t) => {
      const server = await mqttServer(t)
      for (const filter of ['#', '+/a', 'b/+', 'b/#']) {
        const client = await connected(t, server, version)
        await client.subscribeAsync(filter)
        if (filter === '#') await client.unsubscribeAsync(filter)
        await client.endAsync(true)
      }
      await server.atRest()
    })

    test('with permission rules no filter is granted, names are', async (t) => {
      const open = { '*': { publish: true, subscribe: true, listen: true } }
      const permissions = {
        event: { ...open, 'secret/$x': { subscribe: false, publish: false } },
        record: { '*': { create: true, read: true, write: true, delete: true, listen: true, notify: true }, 'secret/$x': { read: false, write: false } },
        rpc: { '*': { provide: true, request: true } },
        presence: { '*': { allow: true } }
      }
      const server = await mqttServer(t, { extra: { permission: { type: 'config', options: { permissions } } } })
      const client = await connected(t, server, version)
      const denied = protocolVersion === 5 ? 0x87 : 0x80
      const codes = async (...filters) => (await client.subscribeAsync(Object.fromEntries(filters.map((filter) => [filter, { qos: 1 }])))
        .catch((error) => error.packet?.granted?.map((qos) => ({ qos })) ?? [{ qos: denied }])).map(({ qos }) => qos)
      assert.deepEqual(await codes('open/a'), [1])
      assert.deepEqual(await codes('secret/a'), [denied])
      assert.deepEqual(await codes('#'), [denied])
      if (protocolVersion === 5) {
        await assert.rejects(client.publishAsync('secret/a', 'x', { qos: 1 }), /Not authorized/i)
        await assert.rejects(client.publishAsync('secret/a', '{}', { qos: 1, retain: true }), /Not authorized/i)
      } else {
        await client.publishAsync('secret/a', 'x', { qos: 1 })
      }
      await client.publishAsync('open/a', 'yes', { qos: 1 })
      await until('it is heard', () => client.heard.length === 1)
      assert.deepEqual(client.heard[0].slice(0, 2), ['open/a', 'yes'])
    })
  })
}
