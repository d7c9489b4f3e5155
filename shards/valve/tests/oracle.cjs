// Evaluates expressions as JavaScript does. Reads {context, expressions} as JSON, writes one line for each.
const { context, expressions } = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const make = new Function(`return (${context})`)

const show = (value) => {
  if (typeof value === 'string') return JSON.stringify(value)
  if (Object.is(value, -0)) return '-0'
  if (Array.isArray(value)) return `[${Array.from(value, show).join()}]`
  if (value instanceof RegExp || typeof value !== 'object' || value === null) return String(value)
  return `{${Object.keys(value).map((key) => `${JSON.stringify(key)}:${show(value[key])}`).join()}}`
}

const evaluate = (text) => {
  let rule
  try {
    rule = new Function('_', 'user', 'data', 'oldData', 'now', 'action', 'name', '$x', `return ${text}\n;`)
  } catch (error) {
    return 'refused'
  }
  const { user, data, oldData, now, action, name, $x, records } = make()
  let needs = false
  const reference = (record) => {
    if (record === undefined) return undefined
    if (typeof record !== 'string') throw new Error('unsupported type')
    if (Object.hasOwn(records, record)) return records[record]
    needs = true
    return undefined
  }
  let answer
  try {
    answer = show(rule(reference, user, data, oldData, now, action, name, $x))
  } catch (error) {
    answer = `throws ${error.name}`
  }
  return needs ? 'needs' : answer
}

process.stdout.write(expressions.map(evaluate).join('\n'))
