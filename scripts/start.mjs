// `npm start` and `npm run sluice`: brings the bundle up to date, then becomes the program. It replaces itself by
// execve instead of starting a child, so that a signal meets one process only, Ctrl-C drains once, and the prompt
// comes back at the moment when the gateway has ended. Without arguments it is `sluice run`.
import { bin, bundle, reason } from "./bundle.mjs"

/** @param {string} message */
const fail = (message) => {
  console.error(`sluice: ${message}`)
  process.exit(1)
}

try {
  await bundle()
} catch (cause) {
  fail(`the bundle could not be built: ${reason(cause)}`)
}

const given = process.argv.slice(2)
// `npm start -- --port 0` means `run`: flags of the whole program (help, version) stand alone.
const whole = ["--help", "-h", "--version", "-v", "--completions"]
const isFlag = given[0]?.startsWith("-") === true && !whole.includes(given[0].split("=")[0] ?? "")
const args = given.length === 0 || isFlag ? ["run", ...given] : given
const command = [process.argv0, bin, ...args]
if (process.execve === undefined)
  fail(`Node ${process.versions.node} can't run the gateway: use npm start, which does.`)
else process.execve(process.execPath, command, process.env)
