/**
 * Runs a script, once more where the server has forgotten it: the driver takes a script for loaded when it was sent,
 * also to a node of a cluster that refused it.
 */
export async function runScript<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return run();
    throw error;
  }
}
