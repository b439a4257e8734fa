import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.data.Stat;

/**
 * Takes turns as Curator does, as it is told on its standard input:
 *
 * <pre>
 * turn LOCK NAME LOG   writes into the file LOG when it enters and leaves
 * read LOCK NAME LOG   the same in a read lock
 * write LOCK NAME LOG  the same in a write lock
 * hold LOCK            says "held" when it holds, until it is told
 * hold-read LOCK       the same in a read lock
 * hold-write LOCK      the same in a write lock
 * release
 * leader ELECTION      says who leads
 * </pre>
 */
public class CuratorPeer {
  private final String servers;
  private final int timeout;
  private final CountDownLatch release = new CountDownLatch(1);

  private CuratorPeer(String servers, int timeout) {
    this.servers = servers;
    this.timeout = timeout;
  }

  public static void main(String[] arguments) throws Exception {
    CuratorPeer peer = new CuratorPeer(arguments[0], Integer.parseInt(arguments[1]));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    System.out.println("ready");
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("release")) {
        peer.release.countDown();
      } else {
        new Thread(() -> peer.run(words)).start();
      }
    }
    System.exit(0);
  }

  private void run(String[] words) {
    try (CuratorFramework client = client()) {
      switch (words[0]) {
        case "turn" -> turn(client, words[1], words[2], Path.of(words[3]));
        case "read" -> turn(reads(client, words[1]), "-", words[2], Path.of(words[3]));
        case "write" -> turn(writes(client, words[1]), "-", words[2], Path.of(words[3]));
        case "hold" -> hold(new InterProcessMutex(client, words[1]));
        case "hold-read" -> hold(reads(client, words[1]));
        case "hold-write" -> hold(writes(client, words[1]));
        case "leader" -> System.out.println(leader(client, words[1]));
        default -> throw new IllegalArgumentException(words[0]);
      }
    } catch (Exception exception) {
      exception.printStackTrace();
      System.exit(1);
    }
  }

  /** A session of its own. */
  private CuratorFramework client() {
    CuratorFramework client =
        CuratorFrameworkFactory.newClient(
            servers, timeout, 10_000, new ExponentialBackoffRetry(100, 5));
    client.start();
    return client;
  }

  private static void turn(CuratorFramework client, String lock, String name, Path log)
      throws Exception {
    Mutex mutex = new Mutex(client, lock);
    mutex.acquire();
    turn(mutex, Long.toString(mutex.place(client)), name, log);
    mutex.release();
  }

  private static void turn(InterProcessMutex mutex, String place, String name, Path log)
      throws Exception {
    // The second time for who holds already.
    mutex.acquire();
    write(log, "enter " + name + " " + place);
    // So that another who is let in at the same time shows.
    Thread.sleep(10);
    write(log, "leave " + name);
    mutex.release();
  }

  private static InterProcessMutex reads(CuratorFramework client, String lock) {
    return new InterProcessReadWriteLock(client, lock).readLock();
  }

  private static InterProcessMutex writes(CuratorFramework client, String lock) {
    return new InterProcessReadWriteLock(client, lock).writeLock();
  }

  private void hold(InterProcessMutex mutex) throws Exception {
    mutex.acquire();
    System.out.println("held");
    release.await();
    mutex.release();
    System.out.println("released");
  }

  private static String leader(CuratorFramework client, String election) throws Exception {
    LeaderSelectorListenerAdapter nothing =
        new LeaderSelectorListenerAdapter() {
          @Override
          public void takeLeadership(CuratorFramework ignored) {}
        };
    // One that was not started need not be closed.
    return new LeaderSelector(client, election, nothing).getLeader().getId();
  }

  private static void write(Path log, String line) throws Exception {
    Files.writeString(log, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** One that tells since which transaction it is in line. */
  private static class Mutex extends InterProcessMutex {
    Mutex(CuratorFramework client, String lock) {
      super(client, lock);
    }

    long place(CuratorFramework client) throws Exception {
      Stat stat = client.checkExists().forPath(getLockPath());
      return stat.getCzxid();
    }
  }
}
