import { existsSync } from 'node:fs';

/** The images of a Docker engine, by name. */
export type Images = {
  exists(image: string): Promise<boolean>;
  pull(image: string): Promise<void>;
};

// Removes the containers of a run that was killed. The default of the package, which does not export it.
export const REAPER_IMAGE = 'testcontainers/ryuk:0.14.0';

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

/** Makes sure that the engine has the image. Without that of the reaper, containers are started without it. */
export async function prepareContainer(image: string, log: (line: string) => void): Promise<void> {
  const { getContainerRuntimeClient, ImageName } = await import('testcontainers');
  const { image: client } = await getContainerRuntimeClient();
  const images: Images = {
    exists: (name) => client.exists(ImageName.fromString(name)),
    pull: (name) => client.pull(ImageName.fromString(name)),
  };
  await requireImage(images, image);
  await prepareReaper(images, process.env, log);
}

/** Fails with an error that names the image, which those of the engine do not always do. */
export async function requireImage(images: Images, image: string): Promise<void> {
  try {
    if (!(await images.exists(image))) await images.pull(image);
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`the Docker engine does not have the image ${image} and cannot fetch it: ${cause}`);
  }
}

export async function prepareReaper(
  images: Images,
  env: Record<string, string | undefined>,
  log: (line: string) => void,
): Promise<void> {
  if (env['TESTCONTAINERS_RYUK_DISABLED'] === 'true') return;
  try {
    await requireImage(images, env['RYUK_CONTAINER_IMAGE'] || REAPER_IMAGE);
  } catch (error) {
    log(`${error instanceof Error ? error.message : error}; containers of a run that is killed will remain`);
    env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  }
}
