// A PostgreSQL server of this process's own: data directory, port, and a password, run as somebody who is not root, as
// it insists on. Fast, not durable: no test cuts the power.

import { execFile, spawn } from 'node:child_process'
import { chown, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './ports.mjs'
import { until } from './until.mjs'

const run = promisify(execFile)
/** `nobody` everywhere. */
const NOBODY = 65534
const unprivileged = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {}

/** Debian keeps the programs of each release in a directory of its own, off the path. */
async function programs () {
  const base = '/usr/lib/postgresql'
  const releases = await readdir(base).catch(() => [])
  const newest = releases.filter((name) => /^\d+$/.test(name)).sort((a, b) => b - a)[0]
  return newest ? path.join(base, newest, 'bin') : ''
}

export class Postgres {
  static async start () {
    const postgres = new Postgres()
    postgres.programs = await programs()
    postgres.directory = await mkdtemp(path.join(os.tmpdir(), 'deepstream-postgres-'))
    postgres.port = await freePort()
    postgres.password = 'it\'s "secret"; \\'
    postgres.log = ''
    const password = path.join(postgres.directory, 'password')
    await writeFile(password, postgres.password)
    if (unprivileged.uid !== undefined) {
      for (const file of [postgres.directory, password]) await chown(file, unprivileged.uid, unprivileged.gid)
    }
    const options = ['-D', postgres.data, '-U', 'keeper', '-A', 'scram-sha-256', '--pwfile', password, '-E', 'UTF8', '--locale', 'C', '--no-sync']
    await run(postgres.program('initdb'), options, { cwd: postgres.directory, ...unprivileged })
    await postgres.launch()
    return postgres
  }

  get data () {
    return path.join(this.directory, 'data')
  }

  program (name) {
    return path.join(this.programs, name)
  }

  async launch () {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: this.port,
      unix_socket_directories: this.directory,
      fsync: 'off',
      full_page_writes: 'off',
      max_connections: 40,
      shared_buffers: '16MB'
    }
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    // After an unclean end the memory of the former may not be gone yet.
    await until('the database answers', async () => {
      if (!this.running) {
        this.child = spawn(this.program('postgres'), ['-D', this.data, ...options], { cwd: this.directory, stdio: ['ignore', 'ignore', 'pipe'], ...unprivileged })
        this.child.stderr.on('data', (chunk) => { this.log = (this.log + chunk).slice(-32768) })
        const child = this.child
        this.exited = new Promise((resolve) => child.once('close', resolve))
      }
      return this.sql('SELECT 1', 'postgres').then(() => true, () => false)
    }, { deadline: 20000, every: 50 }).catch((error) => {
      error.message += `\n--- the database:\n${this.log}`
      throw error
    })
  }

  get running () {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  /** Ends it: SIGQUIT at once and without a clean-up, as after a crash; SIGINT in order. */
  async end (signal = 'SIGQUIT') {
    if (this.running) this.child.kill(signal)
    await this.exited
  }

  async discard () {
    await this.end('SIGQUIT')
    await rm(this.directory, { recursive: true, force: true })
  }

  /** Rows of one statement, or of several in one session, as arrays of texts. */
  async sql (statements, database = 'postgres') {
    const options = ['-X', '-q', '-At', '-F', '\x1f', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(this.port), '-U', 'keeper', '-d', database, ...[statements].flat().flatMap((text) => ['-c', text])]
    const { stdout } = await run(this.program('psql'), options, { env: { ...process.env, PGPASSWORD: this.password } })
    return stdout.split('\n').filter(Boolean).map((line) => line.split('\x1f'))
  }

  /** A database of its own for one test; answers what the server's configuration says of it. */
  async database (name, options = {}) {
    await this.sql(`CREATE DATABASE "${name}"`)
    return this.storage(name, options)
  }

  storage (name, options = {}) {
    return {
      name: 'postgres',
      options: { host: '127.0.0.1', port: this.port, user: 'keeper', password: this.password, database: name, ...options }
    }
  }
}
