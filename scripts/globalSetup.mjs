// Before the tests of the apps: the process tests start the bundle, also when somebody runs vitest without `npm test`.
// A bundle that can't be built is said and not thrown, so that the tests that don't need it still run; `npm test`
// counts it as a failure of its own.
import { bundle, reason } from "./bundle.mjs"

export const setup = async () => {
  try {
    await bundle()
  } catch (cause) {
    console.error(`The bundle is not up to date: ${reason(cause)}`)
  }
}
