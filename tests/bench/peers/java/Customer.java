import java.nio.ByteBuffer;
import java.util.function.Consumer;

/** What must be known of one customer, and the five segments over it. A POJO of longs and arrays: Flink serializes it by itself. */
public class Customer {
    static final long DAY = 86_400_000L, HOUR = 3_600_000L, MONTH = 30 * DAY, QUARTER = 90 * DAY, NEVER = -1, BIG = 500 * 10_000L;
    static final long IDLE = millis("JOB_IDLE_MS", 30 * 60_000L), CART = millis("JOB_CART_MS", 3 * DAY), FRESH = millis("JOB_FRESH_MS", DAY);
    static final String[] NAMES = {"big_spender", "cart_left", "new_visitor", "repeat_buyer", "window_shopper"};

    public long first = NEVER, last = NEVER, added = NEVER, ordered = NEVER, due = NEVER;
    public long[] orders = {}; // moment and amount by turns, of the last 90 days
    public long[] views = {}; // the newest five
    public long[] said = new long[5]; // changes so far of each segment: odd is inside

    public Customer() {}

    static Customer at(long now) {
        Customer customer = new Customer();
        customer.first = now;
        return customer;
    }

    /** The changes by time alone up to and with {@code until}. */
    void wake(String who, long until, Consumer<Change> out) {
        while (due != NEVER && due <= until) judge(who, due, "timer", out);
    }

    /** Remember an event, and the changes it makes. Wake the customer before. */
    void take(String who, Event event, long now, Consumer<Change> out) {
        last = now;
        switch (event.name()) {
            case "Product Viewed" -> views = withLast(views, Math.max(0, views.length - 4), now);
            case "Product Added" -> added = now;
            case "Order Completed" -> {
                ordered = now;
                int from = 0;
                while (from < orders.length && orders[from] <= now - QUARTER) from += 2;
                orders = withLast(orders, from, now, (long) Math.rint(event.total() * 10_000));
            }
            default -> { }
        }
        judge(who, now, "event", out);
    }

    private static long[] withLast(long[] kept, int from, long... more) {
        long[] longer = new long[kept.length - from + more.length];
        System.arraycopy(kept, from, longer, 0, kept.length - from);
        System.arraycopy(more, 0, longer, kept.length - from, more.length);
        return longer;
    }

    private void judge(String who, long now, String cause, Consumer<Change> out) {
        for (int index = 0; index < NAMES.length; index++) {
            boolean holds = holds(index, now);
            if (holds != inside(index)) {
                said[index]++;
                out.accept(new Change(who, NAMES[index], holds ? "entered" : "exited", now, said[index], cause));
            }
        }
        due = nextDue(now);
    }

    private boolean inside(int index) {
        return (said[index] & 1) == 1;
    }

    private boolean holds(int index, long now) {
        return switch (index) {
            case 0 -> spent(now) >= BIG;
            case 1 -> added > ordered && added > now - CART && (inside(1) || last <= now - IDLE);
            case 2 -> first > now - FRESH;
            case 3 -> orders.length > 2 && orders[orders.length - 4] > now - MONTH;
            default -> views.length == 5 && views[0] > now - HOUR && (ordered == NEVER || ordered <= now - HOUR);
        };
    }

    private long spent(long now) {
        long total = 0;
        for (int at = 0; at < orders.length; at += 2) if (orders[at] > now - QUARTER) total += orders[at + 1];
        return total;
    }

    private long nextDue(long now) {
        long next = Long.MAX_VALUE;
        if (inside(0)) next = sooner(next, now, spentUntil());
        if (inside(1)) next = sooner(next, now, added + CART);
        else if (added > ordered) next = sooner(next, now, last + IDLE);
        if (inside(2)) next = sooner(next, now, first + FRESH);
        if (inside(3)) next = sooner(next, now, orders[orders.length - 4] + MONTH);
        if (inside(4)) next = sooner(next, now, views[0] + HOUR);
        else if (views.length == 5 && ordered != NEVER) next = sooner(next, now, ordered + HOUR);
        return next == Long.MAX_VALUE ? NEVER : next;
    }

    private static long sooner(long next, long now, long at) {
        return at > now && at < next ? at : next;
    }

    /** When the newest orders that make up the sum begin to fall out of it. */
    private long spentUntil() {
        long total = 0;
        for (int at = orders.length - 2; at >= 0; at -= 2) {
            total += orders[at + 1];
            if (total >= BIG) return orders[at] + QUARTER;
        }
        return NEVER;
    }

    byte[] encode() {
        ByteBuffer buffer = ByteBuffer.allocate(8 * (5 + 5 + orders.length + views.length) + 8);
        buffer.putLong(first).putLong(last).putLong(added).putLong(ordered).putLong(due);
        buffer.putInt(orders.length).putInt(views.length);
        for (long[] part : new long[][] {orders, views, said}) for (long number : part) buffer.putLong(number);
        return buffer.array();
    }

    static Customer decode(byte[] raw) {
        ByteBuffer buffer = ByteBuffer.wrap(raw);
        Customer customer = new Customer();
        customer.first = buffer.getLong();
        customer.last = buffer.getLong();
        customer.added = buffer.getLong();
        customer.ordered = buffer.getLong();
        customer.due = buffer.getLong();
        customer.orders = new long[buffer.getInt()];
        customer.views = new long[buffer.getInt()];
        for (long[] part : new long[][] {customer.orders, customer.views, customer.said})
            for (int at = 0; at < part.length; at++) part[at] = buffer.getLong();
        return customer;
    }

    private static long millis(String name, long otherwise) {
        String given = System.getenv(name);
        return given == null ? otherwise : Long.parseLong(given);
    }
}
