// TLS: keys and certificates in every form, clients of both kinds side by side, reloading, resumption, broken handshakes.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import tls from 'node:tls'
import { loggedIn, ready, subscribed, untilData } from '../helpers/clients.mjs'
import { freePort } from '../helpers/ports.mjs'
import { REFERENCE, SHARDS, Server, serverFor } from '../helpers/server.mjs'
import { atEnd, unique, until, within } from '../helpers/until.mjs'

const folder = mkdtempSync(path.join(os.tmpdir(), 'deepstream-tls-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const file = (name) => path.join(folder, name)
const openssl = (...words) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' })

/** An authority, and certificates for localhost signed by it. */
function certify () {
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', '/CN=Authority')
  writeFileSync(file('extensions'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n')
  const sign = (name) => {
    openssl('req', '-new', '-key', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', `${name}.pem`, '-days', '30', '-extfile', 'extensions')
  }
  openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ec.key')
  openssl('ec', '-in', 'ec.key', '-out', 'sec1.key')
  openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', 'rsa.key')
  openssl('rsa', '-traditional', '-in', 'rsa.key', '-out', 'pkcs1.key')
  openssl('rsa', '-aes128', '-passout', 'pass:x', '-in', 'rsa.key', '-out', 'encrypted.key')
  for (const name of ['ec', 'sec1', 'rsa', 'pkcs1']) sign(name)
  // The same key, another certificate.
  copyFileSync(file('ec.key'), file('other.key'))
  sign('other')
}
certify()
const ca = readFileSync(file('ca.pem'))

/** Options of a server with a plain port for health checks and a secured one beside it. */
async function secured (ssl = {}, options = {}) {
  const port = await freePort()
  return { memory: true, ...options, http: { ssl: { key: file('ec.key'), cert: file('ec.pem'), port, ...ssl } } }
}

function securely (server, options = {}) {
  return tls.connect({ host: '127.0.0.1', port: server.securePort, servername: 'localhost', ca, ...options })
}

async function start (t, ssl, options) {
  const prepared = await secured(ssl, options)
  const server = await serverFor(t, prepared)
  server.securePort = prepared.http.ssl.port
  return server
}

/** What the official client connects to. */
const wss = (server) => ({ url: `wss://localhost:${server.securePort}` })
const trusting = { socketOptions: { ca } }

async function healthOver (socket) {
  socket.write('GET /health-check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  let text = ''
  socket.on('data', (chunk) => { text += chunk })
  await within('the answer', once(socket, 'close'))
  return text.split('\r\n')[0]
}

describe('TLS', { skip: REFERENCE }, () => {
  test('secured and plain clients share records and events', async (t) => {
    const server = await start(t)
    const secure = await loggedIn(t, wss(server), trusting)
    const plain = await loggedIn(t, server)
    const name = unique('record')
    const [mine, theirs] = [await ready(secure, name), await ready(plain, name)]
    const large = 'x'.repeat(300000)
    await mine.setWithAck({ large, n: 1 })
    await untilData(theirs, { large, n: 1 })
    await theirs.setWithAck('n', 2)
    await untilData(mine, { large, n: 2 })
    const heard = []
    await subscribed(secure, 'e', (data) => heard.push(data), plain)
    for (let n = 0; n < 500; n++) plain.event.emit('e', n)
    await until('all events', () => heard.length === 500)
    assert.deepEqual(heard, [...Array(500).keys()])
  })

  test('without a port of its own, TLS has the only one', async (t) => {
    const options = await secured({ port: undefined })
    const server = await Server.prepare(options)
    atEnd(t, () => server.discard())
    server.securePort = server.port
    server.spawn()
    await until('the secured port answers', async () => {
      const socket = securely(server)
      const ready = await Promise.race([once(socket, 'secureConnect').then(() => true), once(socket, 'close').then(() => false)]).catch(() => false)
      if (ready) assert.equal(await healthOver(socket), 'HTTP/1.1 200 OK')
      return ready
    }, { deadline: 20000, every: 20 })
    assert.equal(await server.health(), 0)
  })

  for (const name of ['ec', 'sec1', 'rsa', 'pkcs1']) {
    test(`keys load in the form of ${name}, as files and as text`, async (t) => {
      for (const value of [(suffix) => file(name + suffix), (suffix) => readFileSync(file(name + suffix), 'utf8')]) {
        const server = await start(t, { key: value('.key'), cert: value('.pem') })
        for (const version of ['TLSv1.2', 'TLSv1.3']) {
          const socket = securely(server, { minVersion: version, maxVersion: version })
          await within('the handshake', once(socket, 'secureConnect'))
          assert.equal(socket.getProtocol(), version)
          assert.equal(await healthOver(socket), 'HTTP/1.1 200 OK')
        }
      }
    })
  }

  test('clients must show a certificate where an authority is configured', async (t) => {
    const server = await start(t, { ca: file('ca.pem') })
    const shown = securely(server, { key: readFileSync(file('other.key')), cert: readFileSync(file('other.pem')) })
    await within('the handshake', once(shown, 'secureConnect'))
    assert.equal(await healthOver(shown), 'HTTP/1.1 200 OK')
    const bare = securely(server)
    const [error] = await within('the refusal', once(bare, 'error'))
    assert.match(error.code, /CERTIFICATE_REQUIRED|ECONNRESET/)
    const old = securely(server, { maxVersion: 'TLSv1.2' })
    await within('the refusal', once(old, 'error'))
  })

  test('sessions are resumed, on whatever shard', async (t) => {
    const server = await start(t)
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const options = { minVersion: version, maxVersion: version }
      const first = securely(server, options)
      let session
      first.on('session', (ticket) => { session = ticket })
      await within('the handshake', once(first, 'secureConnect'))
      await healthOver(first)
      assert.ok(session, `${version}: a session to resume`)
      for (let again = 0; again < 4 * SHARDS; again++) {
        const socket = securely(server, { ...options, session })
        await within('the handshake', once(socket, 'secureConnect'))
        assert.ok(socket.isSessionReused(), version)
        socket.destroy()
      }
    }
  })

  test('SIGHUP brings a new certificate to new connections, or changes nothing', async (t) => {
    for (const [from, to] of [['ec', 'live'], ['other', 'next']]) {
      copyFileSync(file(`${from}.pem`), file(`${to}.pem`))
    }
    const server = await start(t, { cert: file('live.pem') })
    const client = await loggedIn(t, wss(server), trusting)
    const shown = async () => {
      const socket = securely(server)
      await within('the handshake', once(socket, 'secureConnect'))
      const { CN } = socket.getPeerCertificate().subject
      socket.destroy()
      return CN
    }
    const reload = async (said) => {
      const before = server.log.split(said).length
      process.kill(server.pid, 'SIGHUP')
      await until(`"${said}" in the log`, () => server.log.split(said).length > before)
    }
    assert.equal(await shown(), 'ec')
    copyFileSync(file('next.pem'), file('live.pem'))
    await reload('keys and certificates are in force')
    assert.equal(await shown(), 'other')
    writeFileSync(file('live.pem'), 'nothing')
    await reload('keys and certificates: httpServer.options.ssl.cert')
    assert.equal(await shown(), 'other')
    copyFileSync(file('rsa.pem'), file('live.pem'))
    await reload('keys and certificates: httpServer.options.ssl.key: is not the key of the certificate')
    const record = await ready(client, unique('record'))
    await record.setWithAck({ still: 'here' })
  })

  test('what cannot be used keeps the server from starting', async (t) => {
    for (const [ssl, said] of [
      [{ key: file('nowhere') }, /httpServer\.options\.ssl\.key: .*nowhere/],
      [{ key: file('rsa.key') }, /ssl\.key: is not the key of the certificate/],
      [{ key: file('encrypted.key'), cert: file('rsa.pem') }, /ssl\.key: is encrypted/],
      [{ cert: file('ec.key') }, /ssl\.cert: there is no CERTIFICATE/]
    ]) {
      const server = await Server.prepare(await secured(ssl))
      atEnd(t, () => server.discard())
      server.spawn()
      server.expectExit = true
      assert.equal((await within('the end', server.exited)).code, 1)
      assert.match(server.log, said)
    }
  })

  test('the wrong protocol, half a handshake and garbage end their own connection only', async (t) => {
    const server = await start(t, {}, { endpoint: { unauthenticatedClientTimeout: 400 } })
    const client = await loggedIn(t, wss(server), trusting)
    const closed = async (port, bytes) => {
      const socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      socket.write(bytes)
      await within('the close', once(socket, 'close'))
    }
    const hello = await new Promise((resolve) => {
      const listener = net.createServer((socket) => socket.once('data', (bytes) => { listener.close(); socket.destroy(); resolve(bytes) }))
      listener.listen(0, '127.0.0.1', () => tls.connect({ port: listener.address().port, host: '127.0.0.1' }).on('error', () => {}))
    })
    await closed(server.securePort, 'GET / HTTP/1.1\r\n\r\n')
    await closed(server.securePort, Buffer.from([22, 3, 1, 255, 255, 1, 0]))
    await closed(server.port, hello)
    // Cut anywhere and left there: ended by the time for logging in.
    await Promise.all([1, 5, 6, 60, hello.length - 1, hello.length].map((cut) => closed(server.securePort, hello.subarray(0, cut))))
    const record = await ready(client, unique('record'))
    await record.setWithAck({ still: 'here' })
  })
})
