// Listen patterns mean what they mean in JavaScript: the table that the pattern crate is held to is asked of the
// JavaScript engine at hand.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const table = new URL('../../../shards/pattern/tests/javascript.jsonl', import.meta.url)

test('the table of patterns tells the truth', () => {
  const [{ names }, ...rows] = readFileSync(table, 'utf8').trim().split('\n').map((line) => JSON.parse(line))
  assert.ok(rows.length >= 150)
  for (const { pattern, matches, error } of rows) {
    if (error) {
      assert.throws(() => new RegExp(pattern), SyntaxError, pattern)
    } else {
      assert.deepEqual(names.filter((name) => new RegExp(pattern).test(name)), matches, pattern)
    }
  }
})
