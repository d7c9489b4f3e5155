// The real binary as a child process: a config file and a data directory of its own, a free port,
// readiness by health check. A server that dies without being told to fails whoever is using it.

import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort } from './ports.mjs'
import { addWitness, atEnd, until, within } from './until.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
export const BINARY = path.resolve(process.env.DEEPSTREAM_BIN ?? path.join(here, '../../../target/release/deepstream'))
/**
 * Milliseconds between heartbeats for tests in which somebody must not be closed: two of them are what a busy machine may
 * keep a living client from its turn.
 */
export const LIVELY = 500

export const SHARDS = Number(process.env.DEEPSTREAM_SHARDS ?? 2)
/** The processes that run. Those that a test left behind do not outlive it. */
const running = new Set()
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')))
/** When writes are seen, where it is not left to the server. */
export const VISIBILITY = process.env.DEEPSTREAM_VISIBILITY
/** Set when the suite is aimed at the Node server: tests of what we do better are left out. */
export const REFERENCE = process.env.DEEPSTREAM_REFERENCE === '1'

/** A directory for one server; removed when the test process ends well. */
export async function workspace () {
  return mkdtemp(path.join(os.tmpdir(), 'deepstream-test-'))
}

/** The configuration as an object; YAML reads JSON, so it is written as JSON. */
export function configuration ({ port, data, memory = false, shards = SHARDS, logLevel = 1, endpoint = {}, textEndpoint = {}, jsonEndpoint = {}, httpEndpoint = {}, mqtt, http = {}, storage = {}, limits, extra = {} }) {
  return {
    showLogo: false,
    logLevel,
    httpServer: { type: 'default', options: { host: '127.0.0.1', port, ...http } },
    connectionEndpoints: [
      { type: 'ws-binary', options: { urlPath: '/deepstream', ...endpoint } },
      { type: 'ws-text', options: { urlPath: '/deepstream-v3', ...textEndpoint } },
      { type: 'ws-json', options: { urlPath: '/deepstream-json', ...jsonEndpoint } },
      { type: 'http', options: { ...httpEndpoint } },
      ...(mqtt ? [{ type: 'mqtt', options: { host: '127.0.0.1', ...mqtt } }] : [])
    ],
    auth: [{ type: 'none' }],
    permission: { type: 'none' },
    cores: { count: shards, pin: false },
    storage: memory ? { type: 'memory' } : { type: 'default', options: { directory: data, ...storage } },
    ...(limits ? { limits } : {}),
    ...extra,
    ...(VISIBILITY ? { record: { visibility: VISIBILITY, ...extra.record } } : {})
  }
}

export class Server {
  constructor ({ directory, port, config, command, wrap = [], environment = {} }) {
    this.directory = directory
    this.port = port
    this.config = config
    this.command = command ?? BINARY
    this.wrap = wrap
    this.environment = environment
    this.arguments = []
    this.child = undefined
    this.log = ''
    /** What was told of what is held since it was last asked, however much else was logged meanwhile. */
    this.censuses = []
    this.reports = 0
    this.expectExit = false
  }

  /** Starts a server and waits until it answers its health check. */
  static async start (options = {}) {
    const server = await Server.prepare(options)
    try {
      await server.launch()
    } catch (error) {
      await server.discard()
      throw error
    }
    return server
  }

  /** Writes the configuration without starting anything. */
  static async prepare (options = {}) {
    const directory = options.directory ?? await workspace()
    const port = options.port ?? await freePort()
    const data = options.data ?? path.join(directory, 'data')
    const config = path.join(directory, 'config.yml')
    const body = options.text ?? JSON.stringify(configuration({ ...options, port, data }), null, 2)
    await writeFile(config, body)
    const server = new Server({ ...options, directory, port, config })
    server.data = data
    server.shards = options.extra?.cores?.count ?? options.shards ?? SHARDS
    return server
  }

  get url () {
    return `127.0.0.1:${this.port}`
  }

  get pid () {
    return this.child.pid
  }

  get running () {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  spawn () {
    this.expectExit = false
    this.reports = 0
    const [program, ...rest] = [...this.wrap, this.command, 'start', '-c', this.config, ...this.arguments]
    this.child = spawn(program, rest, {
      cwd: this.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.environment }
    })
    const keep = (chunk) => { this.log = (this.log + chunk).slice(-65536) }
    this.censuses = []
    createInterface({ input: this.child.stderr }).on('line', (line) => { if (line.startsWith('CENSUS')) this.censuses.push(line) })
    this.child.stdout.on('data', keep)
    this.child.stderr.on('data', keep)
    const child = this.child
    running.add(child)
    child.once('exit', () => running.delete(child))
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        keep(`cannot run ${program}: ${error.message}\n`)
        resolve({ code: -1, signal: null })
      })
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    this.forget = addWitness(this)
  }

  async launch () {
    this.spawn()
    let gone
    this.exited.then((exit) => { gone = exit })
    await until('the server answers its health check', async () => {
      if (gone) throw new Error(`the server ended during its start: ${JSON.stringify(gone)}\n${this.log}`)
      return await this.health() === 200
    }, { deadline: 20000, every: 10 })
  }

  /** The status of the health check, or 0 while nobody listens. */
  async health () {
    try {
      const response = await fetch(`http://${this.url}/health-check`, { headers: { connection: 'close' }, signal: AbortSignal.timeout(2000) })
      await response.arrayBuffer()
      return response.status
    } catch {
      return 0
    }
  }

  /** What all shards hold together, as the server tells on SIGUSR1: numbers by what they count. */
  async census () {
    this.reports += 1
    this.censuses = []
    const line = new RegExp(`CENSUS \\| report=${this.reports} shard=(\\d+) (.*)`)
    this.child.kill('SIGUSR1')
    const shards = await until('every shard tells what it holds', () => {
      const told = this.censuses.map((entry) => line.exec(entry)).filter(Boolean)
      return told.length === this.shards && told
    })
    const sum = {}
    for (const [, , fields] of shards) {
      for (const field of fields.trim().split(' ')) {
        const [name, number] = field.split('=')
        sum[name] = (sum[name] ?? 0) + Number(number)
      }
    }
    return sum
  }

  /**
   * Waits until the shards hold what they did then, or nothing at all, values of records and their names aside:
   * those stay in memory as long as there is room. Answers what is held.
   */
  async atRest (then, deadline = 20000) {
    let seen
    const comparable = ({ resident_records: records, resident_bytes: bytes, owned_names: names, ...rest }) => ({ ...rest, names: names - records })
    const expected = then && comparable(then)
    try {
      return await until('nothing is held', async () => {
        seen = await this.census()
        return Object.entries(comparable(seen)).every(([name, number]) => number === (expected?.[name] ?? 0)) && seen
      }, { deadline, every: 50 })
    } catch (error) {
      error.message = `still held: ${JSON.stringify(seen)}\n${error.message}`
      throw error
    }
  }

  describe () {
    const tail = this.log.split('\n').slice(-25).join('\n')
    const state = this.running ? 'running' : 'gone'
    return `--- server ${this.pid} (${state}), last lines:\n${tail}`
  }

  assertAlive () {
    if (!this.running && !this.expectExit) {
      const { exitCode, signalCode } = this.child
      throw new Error(`the server died by itself (code ${exitCode}, signal ${signalCode})\n${this.describe()}`)
    }
  }

  /** Sends the signal and waits for the end; answers {code, signal}. */
  async end (signal = 'SIGTERM', deadline = 20000) {
    this.assertAlive()
    this.expectExit = true
    if (this.running) this.child.kill(signal)
    const exit = await within(`the server to end after ${signal}`, this.exited, deadline)
    this.forget()
    return exit
  }

  /** For the end of a test: stops what runs, complains about what died, removes the directory. */
  async discard () {
    try {
      if (this.child) {
        const died = !this.running && !this.expectExit
        if (died) {
          this.expectExit = true
          throw new Error(`the server died by itself (code ${this.child.exitCode}, signal ${this.child.signalCode})\n${this.describe()}`)
        }
        if (this.running) {
          this.expectExit = true
          this.child.kill('SIGKILL')
          await this.exited
        }
        this.forget()
      }
    } finally {
      await rm(this.directory, { recursive: true, force: true })
    }
  }

  /** A figure of /proc/PID/status in kB, e.g. VmRSS. */
  memory (field = 'VmRSS') {
    const line = readFileSync(`/proc/${this.pid}/status`, 'utf8').split('\n').find((entry) => entry.startsWith(`${field}:`))
    return Number(line.split(/\s+/)[1])
  }
}

/** A server for one test, discarded when the test ends. */
export async function serverFor (t, options = {}) {
  const server = await Server.start(options)
  atEnd(t, () => server.discard())
  return server
}
