// A PostgreSQL server of this process's own, with a password that is hard to quote. Fast, not durable: no test cuts the
// power.

import { Engine } from './engines.mjs'

export class Postgres extends Engine {
  static start (options) {
    return super.start('postgres', options)
  }

  /** Rows of one statement, or of several in one session, as arrays of texts. */
  async sql (statements, database = 'postgres') {
    const { user, password } = this.credentials
    const options = ['-X', '-q', '-At', '-F', '\x1f', '-v', 'ON_ERROR_STOP=1', '-h', this.address, '-p', String(this.port), '-U', user, '-d', database, ...[statements].flat().flatMap((text) => ['-c', text])]
    const answer = await this.tool('psql', options, { env: { ...process.env, PGPASSWORD: password } })
    return answer.split('\n').filter(Boolean).map((line) => line.split('\x1f'))
  }

  /** A database of its own for one test; answers what the server's configuration says of it. */
  async database (name, options = {}) {
    await this.sql(`CREATE DATABASE "${name}"`)
    return this.storage(name, options)
  }

  storage (name, options = {}) {
    const { user, password } = this.credentials
    return {
      name: 'postgres',
      options: { host: this.address, port: this.port, user, password, database: name, ...options }
    }
  }
}
