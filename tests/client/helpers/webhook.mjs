// An HTTP server that a test scripts: every login posted to it is kept, and answered as the test says.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import path from 'node:path'
import { atEnd } from './until.mjs'

export class Webhook {
  /** Starts one that ends with the test. `answer(request, respond, response)`, the last for what is no whole answer; `secure`: {key, cert}. */
  static async start (t, answer, secure) {
    const hook = new Webhook()
    hook.answer = answer
    const listener = async (message, response) => {
      const chunks = []
      for await (const chunk of message) chunks.push(chunk)
      const text = Buffer.concat(chunks).toString()
      const request = { method: message.method, url: message.url, headers: message.headers, body: text && JSON.parse(text) }
      hook.requests.push(request)
      hook.open += 1
      hook.openMost = Math.max(hook.openMost, hook.open)
      response.on('close', () => { hook.open -= 1 })
      hook.answer(request, (status, body, type = typeof body === 'string' ? 'text/plain' : 'application/json', headers = {}) => {
        response.writeHead(status, { 'content-type': type, ...headers })
        response.end(typeof body === 'string' ? body : JSON.stringify(body))
      }, response)
    }
    hook.server = secure ? https.createServer(secure, listener) : http.createServer(listener)
    hook.server.listen(0, '127.0.0.1')
    await once(hook.server, 'listening')
    hook.port = hook.server.address().port
    hook.url = `${secure ? 'https' : 'http'}://localhost:${hook.port}`
    atEnd(t, () => hook.stop())
    return hook
  }

  constructor () {
    this.requests = []
    this.open = 0
    this.openMost = 0
  }

  async stop () {
    if (!this.server.listening) return
    this.server.close()
    this.server.closeAllConnections()
    await once(this.server, 'close')
  }
}

/** A key and a certificate for localhost, signed by itself, and the file of the certificate. */
export function certificate (directory) {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(directory, name))
  const made = spawnSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=CA:FALSE',
    '-keyout', key, '-out', cert
  ])
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`)
  return { key: readFileSync(key), cert: readFileSync(cert), file: cert }
}
