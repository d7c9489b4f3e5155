// Behind nginx and HAProxy, with the shipped configurations: WebSockets of all protocols, HTTP, and which proxies are
// trusted about the client's address.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, test } from 'node:test'
import { loggedIn, ready } from '../helpers/clients.mjs'
import { batch } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { oldLoggedIn, oldReady } from '../helpers/old-clients.mjs'
import { freePort } from '../helpers/ports.mjs'
import { REFERENCE, serverFor } from '../helpers/server.mjs'
import { atEnd, until, unique } from '../helpers/until.mjs'
import { Webhook } from '../helpers/webhook.mjs'

const conf = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../../conf')

/** How each is told its ports, and run in the foreground of a directory. */
const PROXIES = {
  nginx: {
    file: 'nginx.conf',
    edit: (text, port) => text.replace('listen 80;', `listen 127.0.0.1:${port};`).replace('http {', `http {\n    access_log off;\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `    ${what}_temp_path tmp;`).join('\n')}`).replace('worker_processes auto;', 'worker_processes 1;\ndaemon off;\npid nginx.pid;\nerror_log stderr;'),
    words: (file, folder) => ['-p', folder, '-e', 'stderr', '-c', file]
  },
  haproxy: {
    file: 'haproxy.cfg',
    edit: (text, port) => text.replace('bind :80', `bind 127.0.0.1:${port}`).replace('inter 2s', 'inter 100ms').replace('maxconn 20000', 'maxconn 1000'),
    words: (file) => ['-db', '-f', file]
  }
}

async function behind (t, name, server) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'deepstream-proxy-'))
  await mkdir(path.join(folder, 'tmp'))
  const { file, edit, words } = PROXIES[name]
  const port = await freePort()
  const text = edit(await readFile(path.join(conf, file), 'utf8'), port).replaceAll('127.0.0.1:6020', server.url)
  await writeFile(path.join(folder, file), text)
  const child = spawn(program(name), words(path.join(folder, file), folder), { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { log += chunk })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  atEnd(t, async () => {
    child.kill('SIGTERM')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const url = `127.0.0.1:${port}`
  await until(`${name} lets the health check through`, async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${log}`)
    return (await fetch(`http://${url}/health-check`).catch(() => ({ status: 0 }))).status === 200
  }, { every: 20 })
  return { url, port }
}

/** Where it is: on the path, or where the environment says (DEEPSTREAM_NGINX, DEEPSTREAM_HAPROXY). */
function program (name) {
  return process.env[`DEEPSTREAM_${name.toUpperCase()}`] ?? name
}

const missing = (name) => spawnSync(program(name), ['-v']).status === 0 ? false : `${name} is not installed`

for (const name of Object.keys(PROXIES)) {
  describe(name, { skip: REFERENCE || missing(name) }, () => {
    test('clients of every protocol go through, and share a record', async (t) => {
      const server = await serverFor(t)
      const proxy = await behind(t, name, server)
      const [young, old, json] = [await loggedIn(t, proxy), await oldLoggedIn(t, proxy), await Json.login(t, proxy)]
      const record = unique('proxied')
      const [mine, theirs] = [await ready(young, record), await oldReady(old, record)]
      await mine.setWithAck('n', 1)
      await until('the old one sees it', () => theirs.get('n') === 1)
      assert.deepEqual((await json.ask({ topic: 5, action: 3, name: record })).parsedData, { n: 1 })
      const { result, body } = await batch(proxy, [{ topic: 'record', action: 'write', recordName: record, path: 'n', data: 2 }, { topic: 'record', action: 'read', recordName: record }])
      assert.deepEqual([result, body[1].data], ['SUCCESS', { n: 2 }])
      await until('all see it', () => mine.get('n') === 2 && theirs.get('n') === 2)
      const many = await Promise.all(Array.from({ length: 100 }, (_, n) => batch(proxy, [{ topic: 'event', action: 'emit', eventName: 'e', data: n }])))
      assert.ok(many.every((answer) => answer.result === 'SUCCESS'))
    })

    test('authentication is told who stands behind it, if it is believed', async (t) => {
      for (const [trustedProxies, believed] of [[undefined, true], [[], false], [['10.0.0.0/8'], false]]) {
        const hook = await Webhook.start(t, (_, respond) => respond(200, { id: 'ann' }))
        const auth = [{ type: 'http', options: { endpointUrl: hook.url, permittedStatusCodes: [200], requestTimeout: 2000 } }]
        const server = await serverFor(t, { http: trustedProxies ? { trustedProxies } : {}, extra: { auth } })
        const proxy = await behind(t, name, server)
        const headers = { 'X-Forwarded-For': '9.9.9.9' }
        await Json.login(t, proxy, {}, { headers })
        await fetch(`http://${proxy.url}/api`, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: '{"body":[{"topic":"presence","action":"query"}]}' })
        // The proxy adds the loopback address it was called from, which is trusted, too.
        for (const { body } of hook.requests) assert.equal(body.connectionData.remoteAddress, believed ? '9.9.9.9' : '127.0.0.1')
        // Straight to the server, as a proxy would.
        await Json.login(t, server, {}, { headers: { 'X-Forwarded-For': '6.6.6.6, 7.7.7.7' } })
        assert.equal(hook.requests.at(-1).body.connectionData.remoteAddress, believed ? '7.7.7.7' : '127.0.0.1')
      }
    })
  })
}
