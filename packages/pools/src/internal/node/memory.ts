/**
 * How much memory this machine, or the container that we are in, lets us have. What a container is granted is known to
 * the process, not to the machine's own figure.
 */
import * as os from "node:os"
import * as process from "node:process"

/** Bytes in all, used or not. */
export const totalMemory = (): number => {
  const granted = process.constrainedMemory()
  const total = os.totalmem()
  // Without a limit the kernel reports a number that no machine has, or 0.
  return granted > 0 && granted < total ? granted : total
}
