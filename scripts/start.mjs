// `npm start` and `npm run sluice`: brings the bundle up to date, then becomes the program. It replaces itself by
// execve instead of starting a child, so that a signal meets one process only, Ctrl-C drains once, and the prompt
// comes back at the moment when the gateway has ended. Without arguments it is `sluice run`.
import { bin, bundle } from "./bundle.mjs"

const fail = (message) => {
  console.error(`sluice: ${message}`)
  process.exit(1)
}

if (typeof process.execve !== "function") {
  fail(
    `Node ${process.versions.node} can't run the gateway; npm start and npm run sluice use the one that is installed.`
  )
}

try {
  await bundle()
} catch (cause) {
  fail(`the bundle could not be built: ${cause instanceof Error ? cause.message : String(cause)}`)
}

const [node, , ...given] = process.argv
const args = given.length === 0 ? ["run"] : given
// SIGUSR1 asks the gateway for a restart; without this flag Node would open its debugger instead.
process.execve(process.execPath, [node, "--disable-sigusr1", bin, ...args], process.env)
