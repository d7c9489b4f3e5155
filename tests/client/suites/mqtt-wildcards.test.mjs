// Filters with wildcards, over all shards: names that fit are owned by any.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { connected, hears, mqttServer } from '../helpers/mqtt.mjs'
import { unique, until } from '../helpers/until.mjs'

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

    test('rules grant filters all of whose names they allow, and end them', async (t) => {
      const open = { '*': { publish: true, subscribe: true, listen: true } }
      const permissions = (more = {}) => JSON.stringify({
        event: { ...open, 'secret/$x': { subscribe: false, publish: false }, 'of/$user/*': { subscribe: 'user.id === $user' }, 'odd/$x': { subscribe: '$x === "a"' }, ...more },
        record: { '*': { create: true, read: true, write: true, delete: true, listen: true, notify: true }, 'secret/$x': { read: false, write: false }, 'of/*': { read: false }, 'odd/$x': { read: '$x === "a"' } },
        rpc: { '*': { provide: true, request: true } },
        presence: { '*': { allow: true } }
      })
      const auth = [{ type: 'file', options: { users: { ann: { password: 'a' } } } }]
      const server = await mqttServer(t, { files: { 'permissions.yml': permissions() }, extra: { auth, permission: { type: 'config', options: { permissions: 'fileLoad(permissions.yml)' } } } })
      const client = await connected(t, server, { ...version, username: 'ann', password: 'a' })
      const denied = protocolVersion === 5 ? 0x87 : 0x80
      const codes = async (...filters) => (await client.subscribeAsync(Object.fromEntries(filters.map((filter) => [filter, { qos: 1 }])))
        .catch((error) => error.packet?.granted?.map((qos) => ({ qos })) ?? [{ qos: denied }])).map(({ qos }) => qos)
      assert.deepEqual(await codes('open/a'), [1])
      assert.deepEqual(await codes('secret/a'), [denied])
      for (const filter of ['#', '+/a', 'secret/+', 'secret/#', 'of/+/x', 'of/bob/#', 'odd/+']) assert.deepEqual(await codes(filter), [denied], filter)
      for (const filter of ['open/#', '+', 'secret/+/below', 'of/ann/#', 'odd/+/b']) assert.deepEqual(await codes(filter), [1], filter)
      if (protocolVersion === 5) {
        await assert.rejects(client.publishAsync('secret/a', 'x', { qos: 1 }), /Not authorized/i)
        await assert.rejects(client.publishAsync('secret/a', '{}', { qos: 1, retain: true }), /Not authorized/i)
      } else {
        await client.publishAsync('secret/a', 'x', { qos: 1 })
      }
      const sender = await connected(t, server, { ...version, username: 'ann', password: 'a' })
      /** What comes of these, in any order; the last of them comes. */
      const heard = async (...topics) => {
        client.heard.splice(0)
        for (const topic of topics) await sender.publishAsync(topic, topic, { qos: 1 })
        await until('the last is heard', () => client.heard.some(([topic]) => topic === topics.at(-1)))
        return client.heard.map(([topic]) => topic).sort()
      }
      assert.deepEqual(await heard('of/bob/x', 'of/ann/x', 'of/ann/x/y', 'odd/x', 'secret/a/below', 'open/b'), ['of/ann/x', 'of/ann/x/y', 'open/b', 'secret/a/below'])
      // Half of a filter is granted where a rule is about events alone: what is retained there is none of its business.
      await sender.publishAsync('of/ann/kept', '{"k":1}', { qos: 1, retain: true })
      await hears(client, 5)
      assert.deepEqual(client.heard.at(-1).slice(0, 2), ['of/ann/kept', '{"k":1}'])
      // Names for which no rule applies, because no path with a variable matches them, are not delivered.
      assert.deepEqual(await heard('open//b', 'open/c'), ['open/c'])
      const before = server.log.length
      writeFileSync(path.join(server.directory, 'permissions.yml'), permissions({ 'open/*': { subscribe: false } }))
      server.child.kill('SIGHUP')
      await until('it is read again', () => server.log.slice(before).includes('the configuration was read again'))
      assert.deepEqual(await heard('open/d', 'open/a', 'of/ann/z'), ['of/ann/z'])
    })
  })
}
