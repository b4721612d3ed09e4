import java.time.Duration;
import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The five segments on Kafka Streams: exactly once, RocksDB, timers in a queue that is made anew from the store. */
public final class StreamsJob {
    static final boolean WALL = "wall".equals(System.getenv("JOB_CLOCK"));

    record Timer(long due, String customer) {}

    static final class Segments implements Processor<String, byte[], String, byte[]> {
        private final PriorityQueue<Timer> timers = new PriorityQueue<>(Comparator.comparingLong(Timer::due));
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> customers;

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            customers = context.getStateStore("customers");
            try (KeyValueIterator<String, byte[]> all = customers.all()) {
                all.forEachRemaining(entry -> arm(entry.key, Customer.decode(entry.value).due));
            }
            if (WALL) context.schedule(Duration.ofMillis(100), PunctuationType.WALL_CLOCK_TIME, this::fire);
        }

        @Override
        public void process(Record<String, byte[]> record) {
            long now = record.timestamp();
            fire(now);
            Event event = Event.parse(record.value());
            byte[] kept = customers.get(event.customer());
            Customer customer = kept == null ? Customer.at(now) : Customer.decode(kept);
            long before = customer.due;
            customer.take(event.customer(), event, now, this::say);
            keep(event.customer(), customer, before);
        }

        private void fire(long now) {
            while (!timers.isEmpty() && timers.peek().due <= now) {
                Timer timer = timers.poll();
                Customer customer = Customer.decode(customers.get(timer.customer));
                if (customer.due != timer.due) continue; // another was armed since
                customer.wake(timer.customer, timer.due, this::say);
                keep(timer.customer, customer, timer.due);
            }
        }

        private void keep(String who, Customer customer, long before) {
            customers.put(who, customer.encode());
            if (customer.due != before) arm(who, customer.due);
        }

        private void arm(String who, long due) {
            if (due != Customer.NEVER) timers.add(new Timer(due, who));
        }

        private void say(Change change) {
            context.forward(new Record<>(change.customer(), change.encode(), change.at()));
        }
    }

    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("JOB_GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("JOB_KAFKA"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("JOB_STATE"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.topicPrefix("message.timestamp.after.max.ms"), Long.toString(Long.MAX_VALUE)); // the log lies in the future
        var store = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("customers"), Serdes.String(), Serdes.ByteArray());
        Topology topology = new Topology();
        topology.addSource("events", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), System.getenv("JOB_EVENTS"));
        topology.addProcessor("segments", Segments::new, "events");
        topology.addStateStore(store.withCachingEnabled(), "segments");
        topology.addSink("changes", System.getenv("JOB_CHANGES"), new StringSerializer(), new ByteArraySerializer(), "segments");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
    }
}
