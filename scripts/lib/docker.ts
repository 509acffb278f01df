import { existsSync } from 'node:fs';

/** Whether a Docker engine responds; a `docker` client alone cannot start containers. */
export async function isDockerAvailable(): Promise<boolean> {
  if (process.env['DOCKER_HOST'] === undefined && !existsSync('/var/run/docker.sock')) return false;
  try {
    const { getContainerRuntimeClient } = await import('testcontainers');
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}
