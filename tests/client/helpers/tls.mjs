// A certificate for localhost and the authority that signed it, in files of their own.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { freePort } from './ports.mjs'
import { Server } from './server.mjs'

/** Paths of key and certificate, the authority's certificate itself, and a function that removes the files. */
export function certificate () {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'deepstream-tls-'))
  const file = (name) => path.join(folder, name)
  const openssl = (...words) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', '/CN=Authority')
  openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost')
  writeFileSync(file('extensions'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n')
  openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'server.pem', '-days', '30', '-extfile', 'extensions')
  return { key: file('server.key'), cert: file('server.pem'), authority: file('ca.pem'), ca: readFileSync(file('ca.pem')), remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** A server with a plain and a secured port, for MQTT too; `server.secured` is the latter, for whoever opens connections. */
export async function startSecured (options = {}) {
  const { key, cert, authority, ca, remove } = certificate()
  const [port, mqttPort, securedMqttPort] = [await freePort(), await freePort(), await freePort()]
  const mqtt = { port: mqttPort, ssl: { key, cert, port: securedMqttPort } }
  const server = await Server.start({ ...options, mqtt, http: { ...options.http, ssl: { key, cert, port } } })
  server.mqttUrl = `mqtt://127.0.0.1:${mqttPort}`
  server.secured = { url: `localhost:${port}`, port, scheme: 'wss', ca, authority, mqttUrl: `mqtts://localhost:${securedMqttPort}` }
  const discard = server.discard.bind(server)
  server.discard = () => discard().finally(remove)
  return server
}
