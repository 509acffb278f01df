import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';

/** The images of a Docker engine, by name. */
export type Images = {
  exists(image: string): Promise<boolean>;
  pull(image: string): Promise<void>;
};

type Engine = { pull(image: string): Promise<NodeJS.ReadableStream> };

// Removes the containers of a run that was killed. The default of the package, which does not export it.
export const REAPER_IMAGE = 'testcontainers/ryuk:0.14.0';

/** Label of the containers of a test run. */
export const RUN_LABEL = 'discuss.run';

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
  const { image: client, container } = await getContainerRuntimeClient();
  const images: Images = {
    exists: (name) => client.exists(ImageName.fromString(name)),
    async pull(name) {
      await client.pull(ImageName.fromString(name));
      // The package ignores the errors that an engine reports while it fetches.
      if (!(await images.exists(name))) await fetchAgain(container.dockerode, name);
    },
  };
  await requireImage(images, image);
  await prepareReaper(images, process.env, log);
}

/** Removes what the processes of a run have left because they were interrupted. */
export async function removeContainers(run: string): Promise<void> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const filters = { label: [`${RUN_LABEL}=${run}`] };
  for (const { Id } of await dockerode.listContainers({ all: true, filters }))
    await dockerode.getContainer(Id).remove({ force: true, v: true });
}

/** Fetches an image and fails with the error that the engine reports in its progress. */
async function fetchAgain(engine: Engine, image: string): Promise<void> {
  const progress = await text(await engine.pull(image));
  const [, problem] = /"error":\s*"((?:[^"\\]|\\.)*)"/.exec(progress) ?? [];
  if (problem !== undefined) throw new Error(problem.replaceAll('\\"', '"'));
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
